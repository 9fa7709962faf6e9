import Glibc

// What Launch/local-cluster needs beside `ip` and `tc`: a delay where the kernel has no netem, and
// the time that a message takes.
//
//   delay-relay relay INTERFACE NANOSECONDS   delays what is sent through a TUN interface
//   delay-relay measure ADDRESS               prints quartiles of round trips, in nanoseconds

// A reader that is gone is an error of the write.
signal(SIGPIPE, SIG_IGN)
let arguments = Array(CommandLine.arguments.dropFirst())
do {
  switch (arguments.first, arguments.count) {
  case ("relay", 3):
    guard let delay = Int64(arguments[2]), delay >= 0 else {
      throw Failure(status: 2, "\"\(arguments[2])\" is no delay: give whole nanoseconds")
    }
    var line = try DelayLine(interface: arguments[1], delay: delay)
    try line.run()
  case ("measure", 2):
    let times = try RoundTrips(to: arguments[1]).measure()
    let quartiles = [times.count / 4, times.count / 2, times.count * 3 / 4].map { "\(times[$0])" }
    let line = Array((quartiles.joined(separator: " ") + "\n").utf8)
    guard unsafe write(STDOUT_FILENO, line, line.count) == line.count else {
      throw Failure.call("standard output")
    }
  default:
    throw Failure(
      status: 2, "usage: delay-relay relay INTERFACE NANOSECONDS, or delay-relay measure ADDRESS")
  }
} catch {
  say("\(error)")
  exit((error as? Failure)?.status ?? 3)
}
