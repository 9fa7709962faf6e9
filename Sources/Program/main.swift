import Command

LockstepCommand.main()
