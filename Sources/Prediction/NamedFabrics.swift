extension Fabric {
  /// Nominal fabrics, for predictions where none was measured.
  ///
  /// The bandwidth is what the line rate leaves for messages. The latency is a nominal time of a small MPI
  /// message between two nodes of one switch. If you can, measure your own fabric with
  /// `lockstep bench collectives --fabric FILE`.
  public static let named: [Fabric] = [
    Fabric(
      name: "10gbe",
      source: """
        nominal, not measured: 10 Gbit/s Ethernet through the kernel's TCP. 1448 of a frame's 1538 \
        bytes carry the message; 15 µs per message, as two kernels' TCP stacks take
        """, ranks: 2, latencyMicroseconds: 15, bandwidthGigabits: 9.41),
    Fabric(
      name: "25gbe-roce",
      source: """
        nominal, not measured: 25 Gbit/s Ethernet with RoCE v2. 1024 of a frame's 1104 bytes carry \
        the message; 2 µs per message for the adapters' sends (0.8 µs of ib_send_lat over a \
        cable), a switch and the MPI library
        """, ranks: 2, latencyMicroseconds: 2, bandwidthGigabits: 23.2),
    Fabric(
      name: "ib-100",
      source: """
        nominal, not measured: InfiniBand EDR, 4 lanes of 25.78 Gbit/s in 64b/66b code. 4096 of a \
        packet's 4130 bytes carry the message; 1.1 µs per message for the adapters' sends (0.8 µs \
        of ib_send_lat), a switch (0.1 µs) and the MPI library
        """, ranks: 2, latencyMicroseconds: 1.1, bandwidthGigabits: 99.2),
    Fabric(
      name: "ib-400",
      source: """
        nominal, not measured: InfiniBand NDR, 400 Gbit/s of data. 4096 of a packet's 4130 bytes \
        carry the message; 1.0 µs per message, since latency has hardly changed from EDR
        """, ranks: 2, latencyMicroseconds: 1, bandwidthGigabits: 396.7),
  ]
}
