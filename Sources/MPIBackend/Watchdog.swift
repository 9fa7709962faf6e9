internal import CMPI
import Foundation
import Glibc
import LockstepCollectives
import Synchronization

/// A thread that makes sure that no rank waits forever.
///
/// It checks ten times a second what the main thread says about itself. `MPI_Abort` is its only MPI
/// call. Ranks find out who is missing by datagrams, without MPI. Rank 0 asks all ranks where they are;
/// if rank 0 does not answer, a rank that waits asks them. Then every rank that is alive prints where it
/// is. The rank that asked says who is missing, and ends the job with status 3.
///
/// - After half of ``RankActivity/limitSeconds``, rank 0 names the missing ranks in a warning.
/// - After all of it, the job ends.
/// - When the launcher dies, the process ends at once.
final class Watchdog: @unchecked Sendable {
  /// A question to all ranks, with the answers so far.
  private struct Inquiry {
    let isLast: Bool
    let waiting: RankState
    let begin: UInt64
    var asked: UInt64 = 0
    var states: [Int: RankState]
  }

  /// How often the thread looks, in milliseconds.
  private static let period: CInt = 100
  /// How long to wait before an unanswered message is sent again, in nanoseconds.
  private static let again: UInt64 = 150_000_000
  /// The shortest time between other messages, in nanoseconds.
  private static let second: UInt64 = 1_000_000_000
  /// How long to wait for answers, in nanoseconds: half of the limit, but 1 to 5 s.
  ///
  /// A rank on a busy node answers late without being dead.
  private var patience: UInt64 { min(max(moment.limit / 2, Self.second), 5 * Self.second) }
  /// The most time between two looks that counts as waiting, in nanoseconds.
  ///
  /// A process that was stopped, or got no core, does not know how long the other ranks were running
  /// meanwhile.
  private static let longestLook: UInt64 = 500_000_000
  /// After how long without a look a process must have been stopped or got no core, in nanoseconds: three
  /// periods.
  private static let stale: UInt64 = 300_000_000
  /// How many hellos a rank sends, one per second, before it gives up reaching rank 0.
  private static let hellos = 60

  private let world: MPICommunicator
  /// The main thread's communicator for this watchdog alone; nil for one rank.
  private let meeting: (any Communicator)?
  private let rank: Int
  private let launcher: LauncherWatch?
  private let channel: StatusChannel?
  private let places: [StatusChannel.Place?]
  private let key: [UInt8]
  /// How ranks agree to end MPI; nil where the library does not need it.
  private let departure: Departure?
  private let isStopped = Atomic<Bool>(false)
  /// Whether the job is being ended: ranks have been asked the last question.
  private let isEnding = Atomic<Bool>(false)
  /// When the thread last finished reading messages.
  private let lastTaken = Atomic<UInt64>(monotonicNanoseconds())

  // Only the thread uses what follows.
  private var look = monotonicNanoseconds()
  private var moment = MPIRuntime.activity.now
  private var waited: UInt64 = 0
  private var sent: UInt64 = 0
  private var alarm: UInt64?
  private var yieldedUntil: UInt64 = 0
  private var inquiry: Inquiry?
  private var warned: Set<RankActivity.Meeting> = []
  private var hasPrinted = false
  private var (helloCount, isWelcome) = (0, false)

  /// Begins to watch the ranks of `world`.
  ///
  /// Collective.
  init(_ world: MPICommunicator) throws {
    self.world = world
    rank = world.rank
    launcher = LaunchEnvironment.current.launcherName == nil ? nil : LauncherWatch()
    channel = world.size > 1 ? StatusChannel() : nil
    meeting = world.size > 1 ? try world.duplicate() : nil
    if let meeting {
      var random = SystemRandomNumberGenerator()
      var key = (0..<16).map { _ in UInt8.random(in: 0...255, using: &random) }
      try meeting.broadcast(&key, from: 0)
      self.key = key
      places = try meeting.allGather(channel?.place.bytes ?? []).map(StatusChannel.Place.init)
    } else {
      (key, places) = ([], [])
    }
    departure =
      meeting != nil && MPIRuntime.library.waitsForAnswersInFinalize
      ? Departure(rank: rank, ranks: world.size) : nil
    let thread = Thread { [self] in run() }
    thread.name = "watchdog"
    thread.start()
  }

  /// Returns on the main thread when all ranks may end MPI; never, if the job is being ended.
  ///
  /// Open MPI's mpirun hangs or dies if a job is ended while only some ranks are in `MPI_Finalize`. It also
  /// continues stopped processes before it kills them.
  ///
  /// Collective.
  func awaitEnd() {
    if let meeting {
      // This barrier is not traffic of the run.
      meeting.meter.isPaused = true
      MPIRuntime.activity.beginFinish()
      try? meeting.barrier()
      departure?.waitForAll { send($0, to: $1) }
    }
    // After a stop, the thread first has to read the messages that arrived meanwhile. It gets a second.
    for _ in 0..<1000 {
      let taken = lastTaken.load(ordering: .acquiring)
      if monotonicNanoseconds() < taken + Self.stale { break }
      usleep(1000)
    }
    if isEnding.load(ordering: .acquiring) {
      // The end of the job kills this process, unless it fails to.
      sleep(10)
      _exit(3)
    }
  }

  /// Ends this process after the rank that ends the job has had time to say why.
  private func leave() {
    guard !isEnding.exchange(true, ordering: .acquiringAndReleasing) else { return }
    let pause = patience + 3 * Self.second / 2
    Thread.detachNewThread {
      usleep(UInt32(pause / 1000))
      _exit(3)
    }
  }

  /// Ends the thread, soon.
  func stop() { isStopped.store(true, ordering: .relaxed) }

  private func run() {
    // The main thread handles signals. A broken pipe must not kill this one before its last line.
    var all = sigset_t()
    unsafe sigfillset(&all)
    _ = unsafe pthread_sigmask(SIG_BLOCK, &all, nil)
    while !isStopped.load(ordering: .relaxed) {
      if let channel {
        channel.wait(milliseconds: Self.period)
        // The others have decided without this process what was asked while it was stopped.
        let isOld = monotonicNanoseconds() - look > patience
        while let bytes = channel.receive() {
          guard let message = StatusMessage(bytes, key: key, to: rank, ranks: places.count) else {
            continue
          }
          if !isOld || message.kind == .returned || message.kind == .allReturned {
            take(message)
          } else if message.kind == .lastQuestion {
            leave()
          }
        }
      } else {
        usleep(UInt32(Self.period) * 1000)
      }
      lastTaken.store(monotonicNanoseconds(), ordering: .releasing)
      if launcher?.isGone == true {
        Self.print("Error: rank \(rank): the program that started this job has died")
        _exit(3)
      }
      observe()
      guard channel != nil || world.size > 1, !isStopped.load(ordering: .relaxed) else { continue }
      act(monotonicNanoseconds())
    }
  }

  /// Updates how long the main thread has waited.
  private func observe() {
    let now = monotonicNanoseconds()
    let before = moment
    moment = MPIRuntime.activity.now
    let sinceLook = min(now - look, Self.longestLook)
    if moment.isWaiting, before.isWaiting, moment.ticket == before.ticket {
      waited += sinceLook
    } else {
      waited = min(now > moment.since ? now - moment.since : 0, sinceLook)
      alarm = nil
    }
    look = now
  }

  /// Where this rank is now.
  private var state: RankState {
    let now = monotonicNanoseconds()
    let duration = moment.isWaiting ? waited : now > moment.since ? now - moment.since : 0
    return RankState(moment, nanoseconds: duration)
  }

  /// How long the main thread may wait for what it waits for.
  ///
  /// A rank that waits for the end gives the others time to report first what they wait for.
  private var allowed: UInt64 {
    moment.signature?.kind == .finish ? moment.limit + 2 * patience : moment.limit
  }

  private var limit: String {
    let seconds = Double(moment.limit) / 1e9
    return seconds == seconds.rounded() ? "\(Int(seconds)) s" : "\(seconds) s"
  }

  // MARK: Messages

  private func send(_ kind: StatusMessage.Kind, to other: Int, _ state: RankState = RankState()) {
    guard let place = places[other] else { return }
    channel?.send(StatusMessage(kind, from: rank, state).bytes(key: key, to: other), to: place)
  }

  private func take(_ message: StatusMessage) {
    switch message.kind {
    case .hello: send(.welcome, to: message.sender)
    case .welcome: isWelcome = true
    case .notice: inquire(about: message.state, isLast: false)
    case .alarm: inquire(about: message.state, isLast: true)
    case .question:
      observe()
      send(.answer, to: message.sender, state)
    case .lastQuestion:
      // Where two ranks ask at once, the lower one ends the job.
      if let inquiry, inquiry.isLast, message.sender < rank { self.inquiry = nil }
      isEnding.store(true, ordering: .releasing)
      observe()
      printState()
      yieldedUntil = monotonicNanoseconds() + 3 * patience
      send(.answer, to: message.sender, state)
    case .answer: inquiry?.states[message.sender] = message.state
    case .returned, .allReturned: departure?.take(message) { send($0, to: $1) }
    }
  }

  // MARK: What to do

  private func act(_ now: UInt64) {
    if inquiry != nil { return goOn(now) }
    sayHello(now)
    guard moment.isWaiting, !moment.isExempt else { return }
    if waited >= allowed {
      raiseAlarm(now)
    } else if waited >= allowed / 2, let meeting = moment.meeting,
      !warned.contains(meeting)
    {
      if rank == 0 {
        inquire(about: state, isLast: false)
      } else if now - sent >= Self.second {
        sent = now
        send(.notice, to: 0, state)
      }
    }
  }

  /// Sends rank 0 a hello, so that firewalls on the way let rank 0's questions in.
  private func sayHello(_ now: UInt64) {
    guard rank > 0, !isWelcome, helloCount < Self.hellos, now - sent >= Self.second else {
      return
    }
    sent = now
    helloCount += 1
    send(.hello, to: 0)
  }

  /// Has rank 0 ask all ranks, or asks them itself if rank 0 does not answer.
  private func raiseAlarm(_ now: UInt64) {
    let begin = alarm ?? now
    alarm = begin
    if rank == 0 { return inquire(about: state, isLast: true) }
    guard now >= yieldedUntil else { return }
    // Ranks take turns, so that one asks and the others answer it.
    let turn = UInt64(min(rank, 20)) * UInt64(Self.period) * 1_000_000
    if now - begin >= patience + turn { return inquire(about: state, isLast: true) }
    if now - sent >= Self.again {
      sent = now
      send(.alarm, to: 0, state)
    }
  }

  /// Begins to ask all ranks where they are.
  private func inquire(about waiting: RankState, isLast: Bool) {
    guard let meeting = waiting.meeting else { return }
    if let inquiry, inquiry.isLast || !isLast { return }
    if !isLast, !warned.insert(meeting).inserted { return }
    inquiry = Inquiry(
      isLast: isLast, waiting: waiting, begin: monotonicNanoseconds(), states: [rank: state])
    if isLast {
      isEnding.store(true, ordering: .releasing)
      printState()
    }
  }

  private func goOn(_ now: UInt64) {
    guard var asking = inquiry else { return }
    let verdict = WaitVerdict(asking.waiting, states: asking.states, ranks: places.count)
    // A warning has to come well before the end.
    let patience = asking.isLast ? patience : min(patience, moment.limit / 4)
    guard verdict.silent.isEmpty || now - asking.begin >= patience else {
      if now - asking.asked >= Self.again {
        asking.asked = now
        inquiry = asking
        for other in verdict.silent {
          send(asking.isLast ? .lastQuestion : .question, to: other)
        }
      }
      return
    }
    inquiry = nil
    guard asking.isLast else {
      if verdict.hasSomeone {
        let half = String(format: "%g s", Double(moment.limit) / 2e9)
        Self.print("warning: \(verdict.warning(after: half))")
      }
      return
    }
    Self.print("Error: \(verdict.text(after: limit))")
    // In case even the abort hangs.
    Thread.detachNewThread {
      sleep(5)
      _exit(3)
    }
    world.abort(status: 3)
    _exit(3)
  }

  private func printState() {
    guard !hasPrinted else { return }
    hasPrinted = true
    Self.print("watchdog: rank \(rank): \(state.text)")
  }

  /// Writes one line to standard error, at once.
  private static func print(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
  }
}
