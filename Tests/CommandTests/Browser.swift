import Foundation
import Spawning
import Testing

/// What a browser makes of a page.
struct OpenedPage {
  /// The width of the page's content, in pixels, where it may be wider than the window.
  let contentWidth: Double
  /// The charts by id.
  let charts: [String: OpenedChart]
  /// The page's background as the browser painted it.
  let background: String
  /// What the browser wrote to its console: errors, and what the page's security policy refused.
  let console: [String]
}

/// What a browser drew of a chart.
struct OpenedChart {
  /// How many marks the page says there are.
  let marksSaid: Int
  /// How many marks take room on the screen.
  let marksSeen: Int
  /// The drawing's width, in pixels.
  let width: Double
  /// The texts that stand out of the drawing.
  let cutTexts: [String]
}

/// Debian's Chromium, without a window.
enum Browser {
  static let isInstalled = exists("/usr/bin/chromium")

  /// Opens a page in a frame that is `width` pixels wide: windows have a least width, frames have
  /// none, and what a page asks of its window's width is answered with the frame's.
  static func open(_ path: String, width: Int, isDark: Bool = false) throws -> OpenedPage {
    let page = try String(contentsOfFile: path, encoding: .utf8)
      .replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "\"", with: "&quot;")
    return try withTemporaryFolder { folder in
      let frame = folder + "/frame.html"
      try Data(
        """
        <!DOCTYPE html><script>\(script)</script><pre id="found"></pre>
        <iframe style="border:0;width:\(width)px;height:2000px" onload="measure(this)" \
        srcdoc="\(page)"></iframe>
        """.utf8
      ).write(to: URL(fileURLWithPath: frame))
      let finished = try spawn(
        [
          "/usr/bin/chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
          "--user-data-dir=\(folder)/profile", "--enable-logging=stderr", "--v=0",
          "--blink-settings=preferredColorScheme=\(isDark ? 0 : 1)", "--virtual-time-budget=10000",
          "--dump-dom", "file://\(frame)",
        ])
      #expect(finished.status == 0, "\(finished.errors)")
      return try opened(finished)
    }
  }

  private static let script = """
    function measure(frame) {
      const page = frame.contentDocument, charts = {};
      for (const chart of page.querySelectorAll("svg[data-marks]")) {
        const box = chart.getBoundingClientRect();
        const seen = [...chart.querySelectorAll(".mark")].map(m => m.getBoundingClientRect());
        charts[chart.id] = {
          said: Number(chart.dataset.marks), width: box.width,
          seen: seen.filter(b => b.width > 0 && b.height > 0).length,
          cut: [...chart.querySelectorAll("text")].filter(text => {
            const b = text.getBoundingClientRect();
            return b.left < box.left - 1 || b.right > box.right + 1 || b.bottom > box.bottom + 1;
          }).map(text => text.textContent)
        };
      }
      document.getElementById("found").textContent = encodeURIComponent(JSON.stringify({
        width: page.documentElement.scrollWidth, charts,
        background: getComputedStyle(page.body).backgroundColor
      }));
      console.error("measured");
    }
    """

  private static func opened(_ finished: Finished) throws -> OpenedPage {
    let text = finished.output.components(separatedBy: "<pre id=\"found\">").last?
      .components(separatedBy: "</pre>").first?.removingPercentEncoding
    let found = try #require(
      JSONSerialization.jsonObject(with: Data((text ?? "").utf8)) as? [String: Any])
    let charts = try #require(found["charts"] as? [String: [String: Any]])
    let console = finished.errors.components(separatedBy: "\n").filter { $0.contains("CONSOLE") }
    // The script's own line shows that errors would be seen.
    #expect(console.contains { $0.contains("measured") })
    return OpenedPage(
      contentWidth: try #require(found["width"] as? Double),
      charts: charts.mapValues {
        OpenedChart(
          marksSaid: $0["said"] as? Int ?? -1, marksSeen: $0["seen"] as? Int ?? -1,
          width: $0["width"] as? Double ?? -1, cutTexts: $0["cut"] as? [String] ?? [])
      }, background: try #require(found["background"] as? String),
      console: console.filter { !$0.contains("measured") })
  }
}
