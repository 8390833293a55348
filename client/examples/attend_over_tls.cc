// The same as attend_five_lines.cc, with a server on another machine: TLS, a certificate of its own, a token.
//   flashcore_example_attend_over_tls gpu.example.org:50051 FOLDER    with ca.crt, client.crt, client.key, token
#include <cstdio>
#include <string>

#include "client/client.h"

int main(int argc, char** argv) {
  using flashcore::Client;
  using flashcore::DType;
  using flashcore::Tensor;

  if (argc != 3) {
    std::fprintf(stderr, "usage: %s HOST:PORT FOLDER\n", argv[0]);
    return 2;
  }
  const std::string folder = argv[2];
  absl::StatusOr<Client> client = Client::Connect(argv[1], {.security = {.tls = true,
                                                                         .tls_ca = folder + "/ca.crt",
                                                                         .tls_cert = folder + "/client.crt",
                                                                         .tls_key = folder + "/client.key",
                                                                         .auth_token_file = folder + "/token"}});
  if (!client.ok()) {
    std::fprintf(stderr, "%s\n", client.status().ToString().c_str());
    return 1;
  }
  const Tensor q = Tensor::Random({DType::kFloat16, {1, 8, 512, 64}}, /*seed=*/1);
  const auto answer = client->Attend(q, q, q, {.causal = true}, {.priority = flashcore::Priority::kHigh});
  std::printf("%s\n", answer.ok() ? std::to_string(answer->o.At(0)).c_str()
                                  : client->Explain(answer.status()).ToString().c_str());
  return answer.ok() ? 0 : 1;
}
