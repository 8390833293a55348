#include "tests/server/rpc/bad_requests.h"

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <utility>

namespace flashcore::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kHuge = int64_t{1} << 62;
constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();

constexpr char kRank4[] = "want rank 4: [batch, heads, sequence, head_dim]";
constexpr char kScale[] = "want a finite number > 0";
constexpr char kSoftCap[] = "want a finite number >= 0";
constexpr char kWindow[] = "want -1 (off) or a number of keys";
constexpr char kPositive[] = "want every dimension at least 1";
constexpr char kEncoded[] = "want an encoded flashcore.v1 message";

void SetShape(v1::Tensor& tensor, std::initializer_list<int64_t> shape) {
  tensor.mutable_shape()->Assign(shape.begin(), shape.end());
}

// With as many zero bytes as the shape of an FP32 tensor asks for.
void SetTensor(v1::Tensor& tensor, std::initializer_list<int64_t> shape) {
  SetShape(tensor, shape);
  size_t bytes = sizeof(float);
  for (const int64_t dimension : shape) bytes *= static_cast<size_t>(dimension);
  tensor.set_data(std::string(bytes, '\0'));
}

void SetHeadDim(v1::AttendRequest& request, int64_t head_dim) {
  SetTensor(*request.mutable_q(), {1, 4, 8, head_dim});
  SetTensor(*request.mutable_k(), {1, 2, 16, head_dim});
  SetTensor(*request.mutable_v(), {1, 2, 16, head_dim});
}

class Table {
 public:
  // A valid request with one thing wrong.
  void Add(std::string name, std::string path, std::string remedy,
           const std::function<void(v1::AttendRequest&)>& spoil) {
    v1::AttendRequest request = ValidRequest();
    spoil(request);
    AddBytes(std::move(name), request.SerializeAsString(), std::move(path), std::move(remedy));
  }
  void AddBytes(std::string name, std::string bytes, std::string path, std::string remedy) {
    rows_.push_back({std::move(name), std::move(bytes), std::move(path), std::move(remedy)});
  }
  std::vector<BadRequest> Take() { return std::move(rows_); }

 private:
  std::vector<BadRequest> rows_;
};

void AddMissing(Table& table) {
  table.AddBytes("Empty", "", "q", "want a Tensor of rank 4");
  table.Add("NoQ", "q", "want a Tensor of rank 4", [](auto& r) { r.clear_q(); });
  table.Add("NoK", "k", "want a Tensor of rank 4", [](auto& r) { r.clear_k(); });
  table.Add("NoV", "v", "want a Tensor of rank 4", [](auto& r) { r.clear_v(); });
}

void AddDTypes(Table& table) {
  constexpr char kDTypes[] = "want DTYPE_FP16, DTYPE_BF16 or DTYPE_FP32";
  table.Add("DTypeUnspecified", "q.dtype", kDTypes, [](auto& r) { r.mutable_q()->clear_dtype(); });
  table.Add("DTypeUnknown", "k.dtype", kDTypes, [](auto& r) { r.mutable_k()->set_dtype(v1::DType(77)); });
  table.Add("DTypeNegative", "v.dtype", kDTypes, [](auto& r) { r.mutable_v()->set_dtype(v1::DType(-1)); });
  // Two bytes an element, so the byte counts say nothing against it.
  table.Add("DTypeOfKDiffers", "k.dtype", "want q's fp32", [](auto& r) {
    r.mutable_k()->set_dtype(v1::DTYPE_FP16);
    r.mutable_k()->mutable_data()->resize(r.k().data().size() / 2);
  });
  table.Add("DTypeOfVDiffers", "v.dtype", "want k's fp32", [](auto& r) {
    r.mutable_v()->set_dtype(v1::DTYPE_BF16);
    r.mutable_v()->mutable_data()->resize(r.v().data().size() / 2);
  });
  table.Add("LayoutUnknown", "q.layout", "want LAYOUT_BHSD or LAYOUT_BSHD",
            [](auto& r) { r.mutable_q()->set_layout(v1::Layout(3)); });
  table.Add("LayoutOfVUnknown", "v.layout", "want LAYOUT_BHSD or LAYOUT_BSHD",
            [](auto& r) { r.mutable_v()->set_layout(v1::Layout(-9)); });
}

void AddShapes(Table& table) {
  table.Add("Rank0", "q.shape", kRank4, [](auto& r) { r.mutable_q()->clear_shape(); });
  table.Add("Rank3", "k.shape", kRank4, [](auto& r) { SetShape(*r.mutable_k(), {2, 16, 16}); });
  table.Add("Rank5", "v.shape", "want exactly 4", [](auto& r) { SetShape(*r.mutable_v(), {1, 1, 2, 16, 16}); });
  table.Add("RankEnormous", "q.shape", "want exactly 4",
            [](auto& r) { r.mutable_q()->mutable_shape()->Resize(100'000, 1); });
  table.Add("ZeroBatch", "q.shape", kPositive, [](auto& r) { SetTensor(*r.mutable_q(), {0, 4, 8, 16}); });
  table.Add("ZeroHeads", "k.shape", kPositive, [](auto& r) { SetTensor(*r.mutable_k(), {1, 0, 16, 16}); });
  table.Add("ZeroLength", "v.shape", kPositive, [](auto& r) { SetTensor(*r.mutable_v(), {1, 2, 0, 16}); });
  table.Add("ZeroHeadDim", "q.shape", kPositive, [](auto& r) { SetTensor(*r.mutable_q(), {1, 4, 8, 0}); });
  table.Add("NegativeLength", "q.shape", kPositive, [](auto& r) { SetShape(*r.mutable_q(), {1, 4, -8, 16}); });
  // The product of two negatives is positive.
  table.Add("TwoNegatives", "q.shape", kPositive, [](auto& r) { SetShape(*r.mutable_q(), {1, -4, -8, 16}); });
  table.Add("LeastInt64", "q.shape", kPositive, [](auto& r) { SetShape(*r.mutable_q(), {kLeast, 1, 1, 16}); });
  table.Add("HugeButNoOverflow", "q.data", "for q.shape [1, 1, 1048576, 256]", [](auto& r) {
    SetShape(*r.mutable_q(), {1, 1, 1048576, 256});
  });
  table.Add("ProductOverflows", "q.shape", "want the shape of the 2048 bytes", [](auto& r) {
    SetShape(*r.mutable_q(), {kHuge, kHuge, kHuge, 16});
  });
  // 2^62 * 4 bytes: the elements fit, their bytes do not, and wrap to 0.
  table.Add("BytesOverflow", "k.shape", "want the shape of the 2048 bytes", [](auto& r) {
    SetShape(*r.mutable_k(), {kHuge, 1, 1, 1});
  });
  // 2^64 + 2048 bytes wrap to the very size of the data.
  table.Add("ProductWrapsToTheRightSize", "q.shape", "want the shape of the 2048 bytes", [](auto& r) {
    SetShape(*r.mutable_q(), {1, 1, (int64_t{1} << 58) + 32, 16});
  });
  table.Add("OneByteShort", "q.data", "want 2048 for q.shape [1, 4, 8, 16] of fp32",
            [](auto& r) { r.mutable_q()->mutable_data()->pop_back(); });
  table.Add("OneByteLong", "v.data", "want 2048 for v.shape",
            [](auto& r) { r.mutable_v()->mutable_data()->push_back(0); });
  table.Add("NoData", "k.data", "want 2048 for k.shape", [](auto& r) { r.mutable_k()->clear_data(); });
}

void AddHeads(Table& table) {
  constexpr char kHeadDim[] = "want a multiple of 8 from 8 to 256";
  table.Add("HeadDim4", "q.shape", kHeadDim, [](auto& r) { SetHeadDim(r, 4); });
  table.Add("HeadDim60", "q.shape", kHeadDim, [](auto& r) { SetHeadDim(r, 60); });
  table.Add("HeadDim257", "q.shape", kHeadDim, [](auto& r) { SetHeadDim(r, 257); });
  table.Add("HeadDim264", "q.shape", kHeadDim, [](auto& r) { SetHeadDim(r, 264); });
  table.Add("HeadsDoNotDivide", "k.shape", "want a divisor of q's 4 heads", [](auto& r) {
    SetTensor(*r.mutable_k(), {1, 3, 16, 16});
    SetTensor(*r.mutable_v(), {1, 3, 16, 16});
  });
  table.Add("MoreKeyHeadsThanQueryHeads", "k.shape", "want a divisor of q's 4 heads", [](auto& r) {
    SetTensor(*r.mutable_k(), {1, 8, 16, 16});
    SetTensor(*r.mutable_v(), {1, 8, 16, 16});
  });
  table.Add("BatchDiffers", "k.shape", "want q's 1", [](auto& r) {
    SetTensor(*r.mutable_k(), {2, 2, 16, 16});
    SetTensor(*r.mutable_v(), {2, 2, 16, 16});
  });
  table.Add("HeadDimDiffers", "k.shape", "want q's 16", [](auto& r) {
    SetTensor(*r.mutable_k(), {1, 2, 16, 32});
    SetTensor(*r.mutable_v(), {1, 2, 16, 32});
  });
  table.Add("KeyAndValueLengthsDiffer", "v.shape", "want k's: batch 1, heads 2, sequence 16, head_dim 16", [](auto& r) {
    SetTensor(*r.mutable_v(), {1, 2, 8, 16});
  });
  table.Add("ValueHeadsDiffer", "v.shape", "want k's: batch 1, heads 2", [](auto& r) {
    SetTensor(*r.mutable_v(), {1, 4, 16, 16});
  });
  // The same numbers, but in another layout they are other dimensions.
  table.Add("ValueLayoutDiffers", "v.shape", "want k's: batch 1, heads 2",
            [](auto& r) { r.mutable_v()->set_layout(v1::LAYOUT_BSHD); });
}

void AddOptions(Table& table) {
  for (const auto& [name, scale] :
       {std::pair("ScaleNan", kNan), std::pair("ScaleInfinite", kInfinity), std::pair("ScaleZero", 0.0f),
        std::pair("ScaleMinusZero", -0.0f), std::pair("ScaleNegative", -0.125f)}) {
    const float value = scale;
    table.Add(name, "options.sm_scale", kScale, [value](auto& r) { r.mutable_options()->set_sm_scale(value); });
  }
  for (const auto& [name, cap] :
       {std::pair("SoftCapNan", kNan), std::pair("SoftCapInfinite", kInfinity), std::pair("SoftCapNegative", -30.0f)}) {
    const float value = cap;
    table.Add(name, "options.logits_soft_cap", kSoftCap,
              [value](auto& r) { r.mutable_options()->set_logits_soft_cap(value); });
  }
  table.Add("WindowLeftBelow", "options.window_left", kWindow,
            [](auto& r) { r.mutable_options()->set_window_left(-2); });
  table.Add("WindowRightLeast", "options.window_right", kWindow,
            [](auto& r) { r.mutable_options()->set_window_right(kLeast); });
  for (const int priority : {-1, 4}) {
    table.Add(priority < 0 ? "PriorityNegative" : "PriorityUnknown", "priority", "want PRIORITY_LOW, PRIORITY_NORMAL",
              [priority](auto& r) { r.set_priority(v1::Priority(priority)); });
  }
}

void AddGarbage(Table& table) {
  const std::string valid = ValidRequest().SerializeAsString();
  table.AddBytes("TruncatedInV", valid.substr(0, valid.size() - 1), "request", kEncoded);
  table.AddBytes("TruncatedInTag", valid.substr(0, 1), "request", kEncoded);
  table.AddBytes("LengthBeyondTheEnd", "\x0a\x7f", "request", kEncoded);
  table.AddBytes("LengthOf64Bits", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "request", kEncoded);
  table.AddBytes("LengthBeyondItsTensor", std::string("\x0a\x02\x22\x05", 4) + std::string(16, '\0'), "q", kEncoded);
  table.AddBytes("FieldNumber0", std::string("\x00\x00", 2), "request", kEncoded);
  table.AddBytes("EndOfNoGroup", "\x0c", "request", kEncoded);
  table.AddBytes("GroupWithoutEnd", std::string(1, '\x7b'), "request", kEncoded);
  table.AddBytes("WireType7", "\x0f", "request", kEncoded);
  table.AddBytes("EndlessVarint", std::string(1, '\x78') + std::string(11, '\xff'), "request", kEncoded);
  table.AddBytes("GroupsWithoutBottom", std::string(100'000, '\x7b'), "request", "want fewer");
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += std::string("\x78\x01", 2);
  table.AddBytes("FieldsWithoutEnd", many, "request", "want fewer");
  table.AddBytes("Text", "GET / HTTP/1.1\r\n\r\n", "request", kEncoded);
  table.AddBytes("AllOnes", std::string(4096, '\xff'), "request", kEncoded);
}

}  // namespace

v1::AttendRequest ValidRequest(v1::DType dtype) {
  v1::AttendRequest request;
  SetTensor(*request.mutable_q(), {1, 4, 8, 16});
  SetTensor(*request.mutable_k(), {1, 2, 16, 16});
  SetTensor(*request.mutable_v(), {1, 2, 16, 16});
  for (v1::Tensor* tensor : {request.mutable_q(), request.mutable_k(), request.mutable_v()}) {
    tensor->set_dtype(dtype);
    if (dtype != v1::DTYPE_FP32) tensor->mutable_data()->resize(tensor->data().size() / 2);
  }
  return request;
}

std::vector<BadRequest> BadRequests() {
  Table table;
  AddMissing(table);
  AddDTypes(table);
  AddShapes(table);
  AddHeads(table);
  AddOptions(table);
  AddGarbage(table);
  return table.Take();
}

}  // namespace flashcore::testing
