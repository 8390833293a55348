#include "client/load/http_get.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "absl/strings/str_cat.h"

namespace flashcore {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

// Answers one connection with fixed bytes, and closes it.
class OneAnswer {
 public:
  explicit OneAnswer(std::string answer) : listener_(socket(AF_INET, SOCK_STREAM, 0)), answer_(std::move(answer)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    listen(listener_, 1);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    address_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
    thread_ = std::thread([this] { Serve(); });
  }
  ~OneAnswer() {
    thread_.join();
    close(listener_);
  }
  OneAnswer(const OneAnswer&) = delete;
  OneAnswer& operator=(const OneAnswer&) = delete;

  const std::string& address() const { return address_; }
  // After HttpGet has returned.
  const std::string& request() const { return request_; }

 private:
  void Serve() {
    const int connection = accept(listener_, nullptr, nullptr);
    char byte = 0;
    while (request_.find("\r\n\r\n") == std::string::npos && read(connection, &byte, 1) == 1) request_.push_back(byte);
    for (size_t sent = 0; sent < answer_.size();) {
      const ssize_t n = send(connection, answer_.data() + sent, answer_.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<size_t>(n);
    }
    close(connection);
  }

  const int listener_;
  const std::string answer_;
  std::string address_;
  std::string request_;
  std::thread thread_;
};

TEST(HttpGetTest, GivesTheBody) {
  const std::string body(300'000, 'x');
  const OneAnswer server("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + body);
  EXPECT_EQ(HttpGet(server.address(), "/metrics", kPatience).value(), body);
  EXPECT_THAT(server.request(), ::testing::StartsWith("GET /metrics HTTP/1.0\r\n"));
}

TEST(HttpGetTest, AnotherStatusIsAnError) {
  const OneAnswer server("HTTP/1.1 404 Not Found\r\n\r\nno");
  EXPECT_THAT(std::string(HttpGet(server.address(), "/", kPatience).status().message()), ::testing::HasSubstr("404"));
}

TEST(HttpGetTest, WhatIsNoHttpIsAnError) {
  const OneAnswer server("220 mail");
  EXPECT_FALSE(HttpGet(server.address(), "/", kPatience).ok());
}

TEST(HttpGetTest, NobodyThereAndNoAddress) {
  EXPECT_EQ(HttpGet("127.0.0.1:1", "/", kPatience).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(HttpGet("localhost", "/", kPatience).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace flashcore
