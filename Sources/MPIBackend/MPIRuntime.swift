internal import CMPI
public import LockstepCollectives
import Synchronization

/// Starts and ends MPI in this process.
public enum MPIRuntime {
  /// What this process's main thread is doing, as its communicators publish it.
  public static let activity = RankActivity()

  private static let watchdog = Mutex<Watchdog?>(nil)

  /// Initializes MPI (`MPI_THREAD_FUNNELED`) and returns the group of all launched processes.
  ///
  /// If there are several processes, a watchdog thread runs from now on. It makes sure that no rank waits
  /// longer than ``RankActivity/limitSeconds`` for a collective, and that the launcher is alive.
  ///
  /// - Throws: ``LaunchError`` if another MPI's launcher started this process, so that every
  ///   process would seem to be alone, or if headers and library are of different MPIs;
  ///   ``CommunicationError`` if MPI fails.
  public static func start() throws -> MPICommunicator {
    try MPILibrary.check(header: headerVersion, library: fullVersion)
    library.chooseAlgorithms(ranks: LaunchEnvironment.current.rankCount)
    var provided: CInt = 0
    try check(
      unsafe cmpi_init_thread(cmpi_thread_funneled(), &provided), "MPI_Init_thread")
    let world = try unsafe MPICommunicator(handle: cmpi_comm_world())
    guard provided >= cmpi_thread_funneled() else {
      throw CommunicationError(
        call: "MPI_Init_thread", code: provided, reason: "MPI_THREAD_FUNNELED is not provided")
    }
    try LaunchEnvironment.current.check(worldSize: world.size, library: version)
    world.meter.name = EventName("all ranks")
    if world.size > 1 {
      let started = try Watchdog(world)
      watchdog.withLock { $0 = started }
    }
    return world
  }

  /// Ends MPI when all ranks have called it; no communicator may be used afterwards.
  public static func finish() {
    watchdog.withLock(\.self)?.awaitEnd()
    activity.beginFinish()
    Reduction.freeAll()
    _ = MPI_Finalize()
    watchdog.withLock { $0?.stop() }
  }

  /// Ends every rank at once with `status`, so that none is left waiting for this one.
  public static func abort(_ world: MPICommunicator, status: Int32) -> Never {
    world.abort(status: status)
    fatalError("MPI_Abort returned")
  }

  /// The MPI library's family.
  public static var library: MPILibrary { MPILibrary(version: fullVersion) }

  /// The MPI library's name and version, on one line.
  public static var version: String { MPILibrary.oneLine(fullVersion) }

  /// The name and version of the MPI whose headers this program was compiled with.
  public static var headerVersion: String {
    MPILibrary.oneLine(unsafe String(cString: cmpi_header_version()))
  }

  /// It is asked for once, before MPI begins, so that the watchdog's thread need not call MPI for it.
  private static let fullVersion: String =
    unsafe text(capacity: cmpi_max_library_version_string()) { text, length in
      unsafe MPI_Get_library_version(text, length)
    } ?? "unknown MPI"

  /// The version of the MPI standard that the library implements.
  public static var standardVersion: String {
    var (major, minor): (CInt, CInt) = (0, 0)
    _ = unsafe MPI_Get_version(&major, &minor)
    return "\(major).\(minor)"
  }
}
