#include "client/attend/npy.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <istream>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace flashcore {
namespace {

constexpr absl::string_view kMagic("\x93NUMPY", 6);
constexpr size_t kVersionBytes = 2;
constexpr size_t kShortLengthBytes = 2;  // Version 1.
constexpr size_t kLongLengthBytes = 4;   // Versions 2 and 3.
// NumPy pads its header so that the data starts at a multiple of this.
constexpr size_t kAlignment = 64;
// NumPy's own bound on what it reads without being told otherwise is 10,000.
constexpr size_t kMaxHeaderBytes = 10'000;
constexpr size_t kMaxRank = 32;
// Memory is taken in steps of this as bytes arrive, so that a false size costs nothing.
constexpr size_t kReadStepBytes = size_t{64} << 20;
constexpr int kBitsPerByte = 8;

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("not a valid .npy file: ", what));
}

// Takes Python literals off the front of a string.
class LiteralScanner {
 public:
  explicit LiteralScanner(absl::string_view text) : text_(text) {}

  bool Take(absl::string_view token) {
    SkipSpace();
    return absl::ConsumePrefix(&text_, token);
  }

  // 'text' or "text", without escapes.
  bool TakeString(std::string& out) {
    SkipSpace();
    if (text_.empty() || (text_.front() != '\'' && text_.front() != '"')) return false;
    const size_t end = text_.find(text_.front(), 1);
    if (end == absl::string_view::npos) return false;
    out = std::string(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return true;
  }

  bool TakeBool(bool& out) {
    out = Take("True");
    return out || Take("False");
  }

  // (), (1,), (1, 2) or (1, 2,).
  bool TakeTuple(std::vector<int64_t>& out) {
    out.clear();
    if (!Take("(")) return false;
    while (!Take(")")) {
      int64_t value = 0;
      if (out.size() == kMaxRank || !TakeInteger(value)) return false;
      out.push_back(value);
      if (Take(",")) continue;
      return Take(")");
    }
    return true;
  }

  bool AtEnd() {
    SkipSpace();
    return text_.empty();
  }

 private:
  void SkipSpace() {
    while (!text_.empty() && (text_.front() == ' ' || text_.front() == '\n')) text_.remove_prefix(1);
  }

  bool TakeInteger(int64_t& out) {
    SkipSpace();
    const size_t length = std::min(text_.find_first_not_of("0123456789"), text_.size());
    const bool read = absl::SimpleAtoi(text_.substr(0, length), &out);
    text_.remove_prefix(length);
    return read;
  }

  absl::string_view text_;
};

// Whether each key was seen.
struct Seen {
  bool descr = false;
  bool fortran_order = false;
  bool shape = false;
};

bool TakeItem(LiteralScanner& scanner, NpyHeader& header, Seen& seen) {
  std::string key;
  if (!scanner.TakeString(key) || !scanner.Take(":")) return false;
  if (key == "descr") return (seen.descr = scanner.TakeString(header.descr));
  if (key == "fortran_order") return (seen.fortran_order = scanner.TakeBool(header.fortran_order));
  if (key == "shape") return (seen.shape = scanner.TakeTuple(header.shape));
  return false;
}

bool TakeDictionary(LiteralScanner& scanner, NpyHeader& header, Seen& seen) {
  if (!scanner.Take("{")) return false;
  while (!scanner.Take("}")) {
    if (!TakeItem(scanner, header, seen)) return false;
    if (scanner.Take(",")) continue;
    return scanner.Take("}");
  }
  return true;
}

absl::StatusOr<std::string> ReadExactly(std::istream& in, size_t bytes) {
  std::string text(bytes, '\0');
  in.read(text.data(), static_cast<std::streamsize>(bytes));
  if (static_cast<size_t>(in.gcount()) != bytes) return Malformed("it ends in its header");
  return text;
}

uint64_t LittleEndian(absl::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i > 0; --i) value = (value << kBitsPerByte) | static_cast<uint8_t>(bytes[i - 1]);
  return value;
}

absl::StatusOr<NpyHeader> ReadHeader(std::istream& in) {
  const absl::StatusOr<std::string> start = ReadExactly(in, kMagic.size() + kVersionBytes);
  if (!start.ok() || !absl::StartsWith(*start, kMagic)) return Malformed("it does not start with NumPy's magic");
  const auto major = static_cast<uint8_t>((*start)[kMagic.size()]);
  if (major < 1 || major > 3) return Malformed(absl::StrCat("its format version is ", major, ", and 1 to 3 exist"));
  const absl::StatusOr<std::string> length = ReadExactly(in, major == 1 ? kShortLengthBytes : kLongLengthBytes);
  if (!length.ok()) return length.status();
  const uint64_t header_bytes = LittleEndian(*length);
  if (header_bytes > kMaxHeaderBytes) {
    return Malformed(absl::StrCat("its header has ", header_bytes, " bytes, more than ", kMaxHeaderBytes));
  }
  const absl::StatusOr<std::string> header = ReadExactly(in, header_bytes);
  if (!header.ok()) return header.status();
  return ParseNpyHeader(*header);
}

absl::StatusOr<DType> ToDType(const NpyHeader& header, std::optional<DType> wanted) {
  std::optional<DType> dtype;
  if (header.descr == "<f2") dtype = DType::kFloat16;
  if (header.descr == "<f4") dtype = DType::kFloat32;
  if (header.descr == "<u2" && wanted == DType::kBFloat16) dtype = DType::kBFloat16;
  if (!dtype.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("its dtype is '", header.descr,
                     "'; readable are '<f2' (fp16), '<f4' (fp32), and '<u2' as the bits of bf16 if the dtype is given "
                     "as bf16. In NumPy: array.astype('<f2')"));
  }
  if (wanted.has_value() && *wanted != *dtype) {
    return absl::InvalidArgumentError(
        absl::StrCat("it holds ", Name(*dtype), ", and ", Name(*wanted), " was asked for"));
  }
  return *dtype;
}

// Exactly spec's bytes, and then the end of the stream.
absl::StatusOr<std::shared_ptr<const void>> ReadData(std::istream& in, const TensorSpec& spec) {
  size_t expected = SizeOf(spec.dtype);
  for (const int64_t dim : spec.shape) expected *= static_cast<size_t>(dim);
  auto bytes = std::make_shared<std::vector<std::byte>>();
  while (bytes->size() < expected) {
    const size_t begin = bytes->size();
    const size_t step = std::min(kReadStepBytes, expected - begin);
    bytes->resize(begin + step);
    in.read(reinterpret_cast<char*>(bytes->data() + begin), static_cast<std::streamsize>(step));
    if (static_cast<size_t>(in.gcount()) != step) {
      return Malformed(absl::StrCat("it has ", begin + static_cast<size_t>(in.gcount()), " bytes of data, and ",
                                    ToString(spec), " needs ", expected));
    }
  }
  if (in.peek() != std::istream::traits_type::eof()) {
    return Malformed(absl::StrCat("it goes on after the ", expected, " bytes of ", ToString(spec)));
  }
  return std::shared_ptr<const void>(bytes, bytes->data());
}

absl::string_view DescrOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return "<f2";
    case DType::kBFloat16:
      return "<u2";
    case DType::kFloat32:
      break;
  }
  return "<f4";
}

}  // namespace

absl::StatusOr<NpyHeader> ParseNpyHeader(absl::string_view dictionary) {
  LiteralScanner scanner(dictionary);
  NpyHeader header;
  Seen seen;
  if (!TakeDictionary(scanner, header, seen) || !scanner.AtEnd() || !seen.descr || !seen.fortran_order || !seen.shape) {
    return Malformed("its header is not the dictionary of 'descr', 'fortran_order' and 'shape' that NumPy writes");
  }
  return header;
}

absl::StatusOr<Tensor> ReadNpy(std::istream& in, Layout layout, std::optional<DType> dtype) {
  absl::StatusOr<NpyHeader> header = ReadHeader(in);
  if (!header.ok()) return header.status();
  const absl::StatusOr<DType> type = ToDType(*header, dtype);
  if (!type.ok()) return type.status();
  if (header->fortran_order && header->shape.size() > 1) {
    return absl::InvalidArgumentError("it is in Fortran order; in NumPy: numpy.ascontiguousarray(array)");
  }
  TensorSpec spec{.dtype = *type, .shape = std::move(header->shape), .layout = layout};
  if (absl::Status valid = ValidateSpec(spec); !valid.ok()) return valid;
  absl::StatusOr<std::shared_ptr<const void>> data = ReadData(in, spec);
  if (!data.ok()) return data.status();
  return Tensor::Share(std::move(spec), *std::move(data));
}

absl::StatusOr<Tensor> ReadNpyFile(const std::string& path, Layout layout, std::optional<DType> dtype) {
  std::ifstream in(path, std::ios::binary);
  if (!in.is_open()) return absl::NotFoundError(absl::StrCat(path, ": cannot be opened"));
  absl::StatusOr<Tensor> tensor = ReadNpy(in, layout, dtype);
  if (!tensor.ok()) return {absl::Status(tensor.status().code(), absl::StrCat(path, ": ", tensor.status().message()))};
  return tensor;
}

void WriteNpy(const Tensor& tensor, std::ostream& out) {
  const std::string comma = tensor.shape().size() == 1 ? "," : "";
  std::string header = absl::StrCat("{'descr': '", DescrOf(tensor.dtype()), "', 'fortran_order': False, 'shape': (",
                                    absl::StrJoin(tensor.shape(), ", "), comma, "), }");
  const size_t before = kMagic.size() + kVersionBytes + kShortLengthBytes;
  const size_t unpadded = before + header.size() + 1;
  header.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  header.push_back('\n');
  const std::array<char, kVersionBytes + kShortLengthBytes> rest = {1, 0, static_cast<char>(header.size() & 0xff),
                                                                    static_cast<char>(header.size() >> kBitsPerByte)};
  out.write(kMagic.data(), static_cast<std::streamsize>(kMagic.size()));
  out.write(rest.data(), rest.size());
  out << header;
  out.write(static_cast<const char*>(tensor.data()), static_cast<std::streamsize>(tensor.size_bytes()));
}

absl::Status WriteNpyFile(const Tensor& tensor, const std::string& path) {
  std::ofstream out(path, std::ios::binary);
  WriteNpy(tensor, out);
  out.flush();
  return out.good() ? absl::OkStatus() : absl::UnavailableError(absl::StrCat(path, ": cannot be written"));
}

}  // namespace flashcore
