#include "client/load/http_get.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace flashcore {
namespace {

constexpr size_t kMaxBodyBytes = size_t{64} << 20;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

absl::Status Wait(int fd, short events, absl::Time deadline) {  // NOLINT(google-runtime-int): poll's type.
  pollfd waiting{.fd = fd, .events = events, .revents = 0};
  const int64_t left_ms = std::max<int64_t>(0, absl::ToInt64Milliseconds(deadline - absl::Now()));
  if (poll(&waiting, 1, static_cast<int>(left_ms)) > 0) return absl::OkStatus();
  return absl::DeadlineExceededError("no answer in time");
}

absl::StatusOr<std::unique_ptr<Socket>> Connect(const std::string& address, absl::Time deadline) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return absl::InvalidArgumentError("is not host:port");
  std::string host = address.substr(0, colon);
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found); error != 0) {
    return absl::UnavailableError(gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  std::string problem = "no address";
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    auto socket_fd = std::make_unique<Socket>(socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (connect(socket_fd->fd(), at->ai_addr, at->ai_addrlen) != 0 && errno != EINPROGRESS) {
      problem = std::strerror(errno);
      continue;
    }
    if (absl::Status ready = Wait(socket_fd->fd(), POLLOUT, deadline); !ready.ok()) return ready;
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(socket_fd->fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error == 0) return socket_fd;
    problem = std::strerror(error);
  }
  return absl::UnavailableError(problem);
}

absl::Status SendAll(int fd, absl::string_view bytes, absl::Time deadline) {
  while (!bytes.empty()) {
    if (absl::Status ready = Wait(fd, POLLOUT, deadline); !ready.ok()) return ready;
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return absl::UnavailableError(std::strerror(errno));
    bytes.remove_prefix(static_cast<size_t>(std::max<ssize_t>(0, sent)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadAll(int fd, absl::Time deadline) {
  constexpr size_t kChunkBytes = 65536;
  std::string text;
  std::array<char, kChunkBytes> chunk{};
  for (;;) {
    if (absl::Status ready = Wait(fd, POLLIN, deadline); !ready.ok()) return ready;
    const ssize_t got = recv(fd, chunk.data(), chunk.size(), 0);
    if (got == 0) return text;
    if (got < 0 && errno != EAGAIN) return absl::UnavailableError(std::strerror(errno));
    text.append(chunk.data(), static_cast<size_t>(std::max<ssize_t>(0, got)));
    if (text.size() > kMaxBodyBytes) return absl::OutOfRangeError("the answer is too long");
  }
}

}  // namespace

absl::StatusOr<std::string> HttpGet(const std::string& address, absl::string_view path, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  const absl::StatusOr<std::unique_ptr<Socket>> socket_fd = Connect(address, deadline);
  if (!socket_fd.ok()) return socket_fd.status();
  // HTTP/1.0 has no chunks: the body ends with the connection.
  const std::string request = absl::StrCat("GET ", path, " HTTP/1.0\r\nHost: ", address, "\r\n\r\n");
  if (absl::Status sent = SendAll((*socket_fd)->fd(), request, deadline); !sent.ok()) return sent;
  const absl::StatusOr<std::string> answer = ReadAll((*socket_fd)->fd(), deadline);
  if (!answer.ok()) return answer.status();
  constexpr char kBodyMark[] = "\r\n\r\n";
  const size_t head_end = answer->find(kBodyMark);
  const absl::string_view status_line = absl::string_view(*answer).substr(0, answer->find('\r'));
  if (head_end == std::string::npos || !absl::StrContains(status_line, " 200")) {
    return absl::UnavailableError(absl::StrCat("answered '", status_line, "'"));
  }
  return answer->substr(head_end + sizeof(kBodyMark) - 1);
}

}  // namespace flashcore
