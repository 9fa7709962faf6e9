import Lockstep

Lockstep.run { ranks in
  let options = CommandLine.arguments.dropFirst()
  let data = try ranks.agreeing { DataSplit(try ImageDataset.digits()) }
  let model = try Model(input: data.train.shape, seed: 1, over: ranks) { m in
    m.flatten()
    m.linear("fc1", outputs: 128)
    m.norm("norm1", .syncBatch)
    Activation.gelu
    m.linear("fc", outputs: data.train.classes)
  }
  var settings = TrainerSettings(
    batch: .global(128), length: .epochs(3), optimizer: .sgd(momentum: 0.9), learningRate: 0.1)
  settings.decay = .cosine()
  let trainer = try Trainer(model, data, settings, over: ranks)
  let recorder = try options.first { !$0.hasPrefix("-") }.map { path in
    try Recorder(over: ranks, at: path, trainer.description(name: "own-model"))
  }
  var loss = 0.0
  while let step = try trainer.next() {
    try recorder?.append(step)
    loss = step.loss
  }
  try recorder?.finish()
  let accuracy = try trainer.evaluate().accuracy
  try ranks.print(
    options.contains("--json")
      ? #"{"ranks": \#(ranks.size), "loss": \#(loss), "accuracy": \#(accuracy)}"#
      : "loss \(loss), accuracy \(accuracy) on \(ranks.size) rank(s)")
}
