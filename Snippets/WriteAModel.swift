import Lockstep

Lockstep.run { ranks in
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
  while let step = try trainer.next() {
    try ranks.print("step \(step.step): loss \(step.loss)")
  }
  try ranks.print("accuracy \(try trainer.evaluate().accuracy)")
}
