// A gRPC server in this process, on generated code: answers with the reference backend, or badly, as a test wants.
#ifndef FLASHCORE_TESTS_CLIENT_FAKE_SERVER_H_
#define FLASHCORE_TESTS_CLIENT_FAKE_SERVER_H_

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>

#include <functional>
#include <memory>
#include <string>

#include "flashcore/v1/attention.grpc.pb.h"

namespace flashcore {

class FakeServer {
 public:
  // What Attend, and AttendStream for each of its requests, does after computing the right answer: changes it, or
  // returns an error instead. Called on gRPC's threads, several at once.
  using Twist = std::function<grpc::Status(grpc::ServerContext&, const v1::AttendRequest&, v1::AttendResponse&)>;

  // Listens on a port that the kernel chooses, or on `unix_path` if it is not empty: in plain text unless `credentials`
  // say otherwise. Serving from the start.
  explicit FakeServer(Twist twist = nullptr, const std::string& unix_path = "",
                      const std::shared_ptr<grpc::ServerCredentials>& credentials = grpc::InsecureServerCredentials());
  // Cancels what is under way.
  ~FakeServer();
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  // For Client::Connect.
  const std::string& target() const { return target_; }

  void SetServing(bool serving);
  void Stop();

 private:
  class Service;
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string target_;
};

}  // namespace flashcore

#endif  // FLASHCORE_TESTS_CLIENT_FAKE_SERVER_H_
