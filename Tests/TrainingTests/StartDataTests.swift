import Foundation
import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepDatasets
import LockstepNorms
import LockstepRuns
import LockstepTensors
import LockstepTraining
import Spawning
import Testing

@Suite struct StartDataTests {
  @Test func ranksOfDifferentDataAreRefused() throws {
    let run = try smallRun(.layer)
    let same = try withThreadRanks(3) { world in
      try run.agreeOnStart(data: run.loadData(), over: world)
      return true
    }
    #expect(same == [true, true, true])
    let messages = try withThreadRanks(3) { world in
      var mine = run
      if world.rank > 0 { mine.seed = 99 }
      let data = try mine.loadData()
      do {
        try run.agreeOnStart(data: data, over: world)
        return ""
      } catch {
        return "\(error)"
      }
    }
    #expect(Set(messages).count == 1, "all ranks say the same")
    #expect(messages[0].hasPrefix("the data of ranks 1 and 2 is not that of rank 0"))
  }

  @Test func aChangedLabelChangesTheDigest() {
    func split(_ labels: [UInt8]) -> DataSplit {
      let images = ImageDataset(shape: [1, 2, 1], classes: 3, labels: labels, bytes: [1, 2, 3, 4])
      return DataSplit((images, images))
    }
    #expect(split([0, 1]).digest == split([0, 1]).digest)
    #expect(split([0, 1]).digest != split([0, 2]).digest)
    #expect(split([0, 1]).digest.count == 64)
  }

  @Test func textsOfTheSameTokensInOtherLettersAreOtherData() throws {
    let digests = try ["abcabcabcabc", "ABCABCABCABC", "abcabcabcabc"].map { text in
      try withTemporaryFolder { folder in
        let path = "\(folder)/text.txt"
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return try TokenDataset.text(path, context: 2, bytes: false, trainShare: 0.5).digest
      }
    }
    #expect(digests[0] != digests[1])
    #expect(digests[0] == digests[2])
  }
}
