import Foundation
import Spawning
import Testing

/// Reports of real runs, as a browser shows them.
@Suite(.serialized, .enabled(if: hasMPIRun, "mpirun is not installed"))
struct ReportTests {
  /// A folder with a run of two epochs under each norm on two ranks.
  private static func compare(_ norms: String, in folder: String, _ more: [String] = []) throws {
    let finished = try mpirun(
      2, "lockstep",
      [
        "compare", "Configs/digits-resnet.yaml", "--norms", norms, "--set", "epochs=2",
        "--run-dir", folder,
      ] + more)
    #expect(finished.status == 0, "\(finished.errors)")
  }

  private static func report(_ arguments: [String]) throws -> Finished {
    try mpirun(2, "lockstep", ["report"] + arguments)
  }

  private static func figures(_ arguments: [String]) throws -> [String: Any] {
    let finished = try report(arguments + ["--json"])
    #expect(finished.status == 0, "\(finished.errors)")
    return try #require(
      JSONSerialization.jsonObject(with: Data(finished.output.utf8)) as? [String: Any])
  }

  private static func train(_ arguments: [String], in directory: String) throws {
    let finished = try mpirun(
      2, "lockstep", ["train"] + arguments + ["--run-dir", directory])
    #expect(finished.status == 0, "\(finished.errors)")
  }

  /// Repeats have no round in common; a run that took no step stands in no comparison.
  @Test func eachRunIsComparedWithTheFirstOfItsRepeat() throws {
    try withTemporaryFolder { folder in
      try Self.compare("batch,layer", in: folder, ["--repeats", "2"])
      func sentences() throws -> [String] {
        try #require(try Self.figures([folder])["answer"] as? String)
          .components(separatedBy: ". ")
      }
      for (base, other) in [("batch-1", "layer-2"), ("batch-2", "layer-1")] {
        #expect(try !sentences().contains { $0.contains(base) && $0.contains(other) })
      }
      try Data().write(to: URL(fileURLWithPath: "\(folder)/batch-1/metrics.jsonl"))
      #expect(try !sentences().contains { $0.contains("batch-1") })
    }
  }

  @Test(.enabled(if: Browser.isInstalled, "chromium is not installed"))
  func everyChartIsDrawnOnAnyScreen() throws {
    try withTemporaryFolder { folder in
      let runs = folder + "/<i>&runs"
      try Self.compare("layer,sync-batch", in: runs)
      let finished = try Self.report([runs])
      #expect(finished.status == 0, "\(finished.errors)")
      let path = runs + "/report.html"
      let page = try String(contentsOfFile: path, encoding: .utf8)
      for outside in ["src=", "href=", "url(", "@import", "<script", "http:", "https:"] {
        #expect(!page.contains(outside), "\(outside)")
      }
      #expect(page.contains("&lt;i&gt;&amp;runs") && !page.contains("<i>"))
      #expect(page.contains("mpirun ") && page.contains("clocks agree to"))
      let answers = [
        "sync-batch cannot be told apart from layer.", "Compared with layer, a step takes ",
      ]
      #expect(answers.contains { page.contains($0) })

      let expected: Set = [
        "chart-ratios", "chart-step-time", "chart-loss", "chart-accuracy", "chart-timeline-0",
        "chart-computing-0", "chart-prediction-0", "chart-prediction-1", "chart-timeline-1",
        "chart-computing-1", "chart-statistics-1",
      ]
      var backgrounds: Set<String> = []
      for (width, isDark) in [(1280, false), (1280, true), (390, false)] {
        let opened = try Browser.open(path, width: width, isDark: isDark)
        #expect(opened.console.isEmpty, "\(opened.console)")
        #expect(opened.contentWidth <= Double(width), "\(opened.contentWidth)")
        #expect(Set(opened.charts.keys) == expected)
        for (id, chart) in opened.charts {
          #expect(chart.marksSaid > 0 && chart.marksSeen == chart.marksSaid, "\(id) \(chart)")
          #expect(chart.width > 300 && chart.width <= Double(width), "\(id)")
          #expect(chart.cutTexts.isEmpty, "\(id) at \(width): \(chart.cutTexts)")
        }
        backgrounds.insert(opened.background)
      }
      #expect(backgrounds.count == 2, "light and dark")
    }
  }

  @Test func theFiguresAreTheRuns() throws {
    try withTemporaryFolder { folder in
      try Self.compare("layer,sync-batch", in: folder + "/runs")
      let report = try Self.figures([
        folder + "/runs/sync-batch", folder + "/runs/layer", "--fabric", "ib-400",
      ])
      #expect(!exists(folder + "/runs/sync-batch/report.html"))
      #expect((report["notes"] as? [Any])?.isEmpty == true)
      let predictions = try #require(report["predictions"] as? [[String: Any]])
      #expect(predictions.map { $0["fabric"] as? String } == ["ib-400"])
      #expect((predictions[0]["rows"] as? [Any])?.count == 2 * 5)
      let runs = try #require(report["runs"] as? [[String: Any]])
      #expect(runs.map { $0["label"] as? String } == ["sync-batch", "layer"])
      for (run, collectives) in zip(runs, [18.0, 0]) {
        let times = try #require(run["times"] as? [String: [String: Any]])
        #expect(times["statistics"]?["collectives_per_step"] as? Double == collectives)
        let data = try #require(
          FileManager.default.contents(atPath: "\(run["path"] ?? "")/summary.json"))
        let summary = try #require(
          JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(
          NSDictionary(dictionary: times).isEqual(summary["times"] as? [String: Any] ?? [:]))
        let parts = try #require(run["parts"] as? [String: Double])
        #expect((parts["norm_ms"] ?? 0) > 0 && (parts["optimizer_ms"] ?? 0) > 0)
        #expect(((parts["statistics_transfer_ms"] ?? 0) > 0) == (collectives > 0))
        #expect((run["norm_layers"] as? [String])?.count == 9)
        let curves = try #require(run["curves"] as? [String: Any])
        #expect((curves["training"] as? [Any])?.count == 24)
      }
    }
  }

  @Test func whatRunsLackAndWhereTheyDifferIsSaid() throws {
    try withTemporaryFolder { folder in
      let paths = ["a", "b", "c"].map { "\(folder)/\($0)" }
      let steps = ["Configs/digits-resnet.yaml", "--set", "epochs=1", "--set"]
      try Self.train(steps + ["model.norm.kind=layer", "--no-events"], in: paths[0])
      try Self.train(steps + ["optimizer.learningRate=0.05"], in: paths[1])
      // What a run leaves that is killed while it writes a row.
      try FileManager.default.removeItem(atPath: paths[1] + "/summary.json")
      let metrics = try #require(FileHandle(forUpdatingAtPath: paths[1] + "/metrics.jsonl"))
      try metrics.truncate(atOffset: metrics.seekToEnd() - 9)
      try metrics.close()

      let notes = try #require(
        try Self.figures(Array(paths[..<2]))["notes"] as? [String]
      ).joined(separator: "\n")
      for expected in [
        "layer: nothing is known of its layers", "sync-batch: the run did not end",
        "optimizer.learningRate is 0.1 / 0.05",
      ] {
        #expect(notes.contains(expected), "\(notes)")
      }
      let finished = try Self.report([paths[0], "--output", folder + "/page.html"])
      #expect(finished.status == 0 && finished.output.contains("note: "), "\(finished.errors)")
      let page = try String(contentsOfFile: folder + "/page.html", encoding: .utf8)
      #expect(page.contains("chart-loss") && page.contains("table-norms"))
      #expect(!page.contains("chart-step-time") && !page.contains("chart-timeline"))

      try Self.train(
        [
          "Configs/digits-mlp.yaml", "--set", "epochs=1", "--set",
          "data={kind: synthetic, imageSize: 8, channels: 1, classes: 10, samples: 256}",
        ], in: paths[2])
      for (arguments, expected) in [
        ([folder + "/nowhere"], "nowhere: no such run directory"),
        ([paths[0] + "/checkpoints"], "checkpoints: is not a run directory"),
        ([paths[0], paths[0] + "/"], "is named twice"),
        ([paths[0], paths[2]], "trained on different data"),
        ([paths[0], "--fabric", "nowhere.json"], "nowhere.json: is neither a fabric's name"),
        ([paths[0], "--output", folder + "/no/page.html"], "there is no folder"),
      ] {
        let refused = try Self.report(arguments)
        #expect(refused.status == 2 && refused.output.isEmpty)
        #expect(
          refused.errors.components(separatedBy: expected).count == 2, "\(refused.errors)")
      }
      try Data().write(to: URL(fileURLWithPath: paths[0] + "/metrics.jsonl"))
      let refused = try Self.report([paths[0]])
      #expect(refused.status == 2 && refused.errors.contains("has taken no step"))
      try Data("{}\n{}\n".utf8).write(to: URL(fileURLWithPath: paths[0] + "/metrics.jsonl"))
      #expect(try Self.report([paths[0]]).errors.contains("metrics.jsonl:1: is damaged"))
      #expect(!exists(paths[0] + "/report.html"))
    }
  }
}
