import LockstepCommand

LockstepCommand.main()
