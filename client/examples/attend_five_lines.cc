// A program that uses FlashCore: connect, make tensors, Attend, read O.
#include <cstdio>

#include "client/client.h"

int main(int argc, char** argv) {
  using flashcore::Client;
  using flashcore::DType;
  using flashcore::Tensor;

  auto client = Client::Connect(argc > 1 ? argv[1] : "localhost:50051").value();
  const Tensor q = Tensor::Random({DType::kFloat16, {1, 8, 512, 64}}, /*seed=*/1);
  const Tensor k = Tensor::Random({DType::kFloat16, {1, 8, 512, 64}}, /*seed=*/2);
  const auto answer = client.Attend(q, k, /*v=*/k, {.causal = true});
  std::printf("%s\n", answer.ok() ? std::to_string(answer->o.At(0)).c_str() : answer.status().ToString().c_str());
  return answer.ok() ? 0 : 1;
}
