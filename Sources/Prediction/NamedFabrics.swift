extension Fabric {
  /// Fabrics to predict for where none was measured: what their line rate leaves for messages, and a
  /// nominal time of a small MPI message between two nodes of one switch.
  ///
  /// Measure your own where you can, by `lockstep bench collectives --fabric FILE`.
  public static let named: [Fabric] = [
    Fabric(
      name: "10gbe",
      source: """
        nominal, not measured: 10 Gbit/s Ethernet through the kernel's TCP. 1448 of 1538 bytes of a \
        frame are a message's; 15 µs a message, as two kernels' TCP stacks take
        """, ranks: 2, latencyMicroseconds: 15, bandwidthGigabits: 9.41),
    Fabric(
      name: "25gbe-roce",
      source: """
        nominal, not measured: 25 Gbit/s Ethernet with RoCE v2. 1024 of 1104 bytes of a frame are a \
        message's; 2 µs a message, adapters' sends (0.8 µs of ib_send_lat over a cable), a switch \
        and the MPI library
        """, ranks: 2, latencyMicroseconds: 2, bandwidthGigabits: 23.2),
    Fabric(
      name: "ib-100",
      source: """
        nominal, not measured: InfiniBand EDR, 4 lanes of 25.78 Gbit/s in 64b/66b code, 4096 of 4130 \
        bytes of a packet are a message's; 1.1 µs a message, adapters' sends (0.8 µs of ib_send_lat), \
        a switch (0.1 µs) and the MPI library
        """, ranks: 2, latencyMicroseconds: 1.1, bandwidthGigabits: 99.2),
    Fabric(
      name: "ib-400",
      source: """
        nominal, not measured: InfiniBand NDR, 400 Gbit/s of data, 4096 of 4130 bytes of a packet are \
        a message's; 1.0 µs a message: latency has hardly changed since EDR
        """, ranks: 2, latencyMicroseconds: 1, bandwidthGigabits: 396.7),
  ]
}
