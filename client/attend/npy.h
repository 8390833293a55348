// NumPy's .npy files, format versions 1 to 3: a magic, a header that is a Python dictionary literal, and the bytes.
// Little-endian, C order. https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#ifndef FLASHCORE_CLIENT_ATTEND_NPY_H_
#define FLASHCORE_CLIENT_ATTEND_NPY_H_

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/tensor.h"

namespace flashcore {

struct NpyHeader {
  std::string descr;  // As written: "<f2".
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

// Parses the dictionary, without magic and length. INVALID_ARGUMENT for anything but the three keys that NumPy writes,
// in any order, or a negative or overlong dimension.
absl::StatusOr<NpyHeader> ParseNpyHeader(absl::string_view dictionary);

// Reads one array. NumPy has no bfloat16: '<u2' is read as its bits if `dtype` says so. `dtype` otherwise only has to
// agree with the file. INVALID_ARGUMENT: not an .npy file, cut short, longer than it says, of another type, in Fortran
// order, or big-endian; the message says how to convert it.
absl::StatusOr<Tensor> ReadNpy(std::istream& in, Layout layout, std::optional<DType> dtype);

// The same from a file; NOT_FOUND if it cannot be opened. Messages start with the path.
absl::StatusOr<Tensor> ReadNpyFile(const std::string& path, Layout layout, std::optional<DType> dtype);

// '<f2', '<f4', or '<u2' for bfloat16.
void WriteNpy(const Tensor& tensor, std::ostream& out);

// UNAVAILABLE if the file cannot be written.
absl::Status WriteNpyFile(const Tensor& tensor, const std::string& path);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_ATTEND_NPY_H_
