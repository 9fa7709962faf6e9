import LockstepSafetensors

// Reads paths from standard input, one a line, and prints for each "accept" or "reject" and why: what
// Tests/Peers/safetensors_headers.py compares with the format's own reader.
while let path = readLine() {
  do {
    _ = try SafetensorsFile(path: path)
    print("accept")
  } catch {
    print("reject \(error)")
  }
}
