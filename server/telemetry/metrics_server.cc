#include "server/telemetry/metrics_server.h"

#include <civetweb.h>

#include <array>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "server/telemetry/family.h"
#include "server/telemetry/status_page.h"
#include "server/telemetry/text_format.h"

namespace flashcore {
namespace {

// A browser keeps idle connections to be quick, and each takes a thread until it times out; probes must not wait for
// it.
constexpr char kNumThreads[] = "8";
constexpr char kRequestTimeoutMs[] = "5000";
constexpr auto kKnockPeriod = std::chrono::milliseconds(10);
constexpr size_t kMaxErrorBytes = 128;

constexpr int kOk = 200;
constexpr int kNotFound = 404;
constexpr int kMethodNotAllowed = 405;
constexpr int kServiceUnavailable = 503;

constexpr char kPlainText[] = "text/plain; charset=utf-8";
constexpr char kExposition[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr char kHtml[] = "text/html; charset=utf-8";

struct Answer {
  int code = kOk;
  const char* content_type = kPlainText;
  std::string body;
};

const char* Reason(int code) {
  switch (code) {
    case kOk:
      return "OK";
    case kNotFound:
      return "Not Found";
    case kMethodNotAllowed:
      return "Method Not Allowed";
    default:
      return "Service Unavailable";
  }
}

// The page may run its own script and style and ask this server, nothing else.
std::string Head(const Answer& answer) {
  return absl::StrCat(
      "HTTP/1.1 ", answer.code, " ", Reason(answer.code), "\r\nContent-Type: ", answer.content_type,
      "\r\nContent-Length: ", answer.body.size(),
      "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Security-Policy: "
      "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
      "img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'\r\nConnection: close\r\n\r\n");
}

}  // namespace

struct MetricsServer::Endpoint {
  std::vector<std::shared_ptr<prometheus::Collectable>> collectables;
  std::shared_ptr<const ServingState> state;

  Answer Scrape() const;
  Answer Probe(bool good) const;
  Answer Get(absl::string_view path) const;

  // The library's callback for a request; `endpoint` is one of these.
  static int Handle(mg_connection* connection, void* endpoint);
};

Answer MetricsServer::Endpoint::Scrape() const {
  std::vector<prometheus::MetricFamily> families;
  for (const auto& collectable : collectables) {
    for (prometheus::MetricFamily& family : collectable->Collect()) families.push_back(std::move(family));
  }
  std::vector<Sample> phases;
  for (size_t i = 0; i < kNumServingPhases; ++i) {
    const auto phase = static_cast<ServingPhase>(i);
    phases.push_back({{{"phase", std::string(ServingPhaseName(phase))}}, phase == state->phase() ? 1 : 0});
  }
  AppendGauge(families, "flashcore_serving_phase",
              "1 for the phase that the server is in: starting, serving, draining or failed.", phases);
  return {.code = kOk, .content_type = kExposition, .body = ToTextFormat(families)};
}

Answer MetricsServer::Endpoint::Probe(bool good) const {
  return {.code = good ? kOk : kServiceUnavailable,
          .content_type = kPlainText,
          .body = absl::StrCat(ServingPhaseName(state->phase()), "\n")};
}

Answer MetricsServer::Endpoint::Get(absl::string_view path) const {
  if (path == "/metrics") return Scrape();
  if (path == "/healthz") return Probe(state->healthy());
  if (path == "/readyz") return Probe(state->ready());
  if (path == "/") return {.code = kOk, .content_type = kHtml, .body = std::string(StatusPage())};
  return {.code = kNotFound, .content_type = kPlainText, .body = "not here: /, /metrics, /healthz and /readyz are\n"};
}

int MetricsServer::Endpoint::Handle(mg_connection* connection, void* endpoint) {
  const mg_request_info& request = *mg_get_request_info(connection);
  const absl::string_view method = request.request_method;
  Answer answer = {.code = kMethodNotAllowed, .content_type = kPlainText, .body = "only GET and HEAD\n"};
  if (method == "GET" || method == "HEAD") answer = static_cast<const Endpoint*>(endpoint)->Get(request.local_uri);
  std::string bytes = Head(answer);
  if (method != "HEAD") absl::StrAppend(&bytes, answer.body);
  mg_write(connection, bytes.data(), bytes.size());
  return answer.code;
}

namespace {

absl::Status CannotListen(absl::string_view address) {
  return absl::UnavailableError(
      absl::StrCat("cannot serve metrics on '", address, "': not an address of this machine, or in use"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    absl::string_view address, std::vector<std::shared_ptr<prometheus::Collectable>> collectables,
    std::shared_ptr<const ServingState> state) {
  std::unique_ptr<MetricsServer> server(new MetricsServer);
  server->endpoint_->collectables = std::move(collectables);
  server->endpoint_->state = std::move(state);
  const std::string address_text(address);
  const char* options[] = {"listening_ports",    address_text.c_str(), "num_threads", kNumThreads,
                           "request_timeout_ms", kRequestTimeoutMs,    nullptr};
  server->context_ = mg_start(/*callbacks=*/nullptr, /*user_data=*/nullptr, options);
  if (server->context_ == nullptr) return CannotListen(address);
  // One more than there should be, to notice it.
  std::array<mg_server_port, 2> ports = {};
  if (mg_get_server_ports(server->context_, static_cast<int>(ports.size()), ports.data()) != 1) {
    return absl::InvalidArgumentError(absl::StrCat("metrics address '", address, "' is not one host:port"));
  }
  server->host_ = address_text.substr(0, address_text.rfind(':'));
  server->port_ = ports.front().port;
  // Of all paths: the library takes it for a prefix.
  mg_set_request_handler(server->context_, "/", &Endpoint::Handle, server->endpoint_.get());
  return server;
}

MetricsServer::MetricsServer() : endpoint_(std::make_unique<Endpoint>()) { mg_init_library(MG_FEATURES_DEFAULT); }

MetricsServer::~MetricsServer() {
  if (context_ != nullptr) StopListening();
  mg_exit_library();
}

void MetricsServer::StopListening() {
  std::atomic<bool> stopped = false;
  // The library's listener sleeps for up to two seconds before it looks whether it is to stop; a connection wakes it.
  std::thread knocker([this, &stopped] {
    while (!stopped) {
      std::array<char, kMaxErrorBytes> error = {};
      mg_connection* const connection =
          mg_connect_client(host_.c_str(), port_, /*use_ssl=*/0, error.data(), error.size());
      if (connection != nullptr) mg_close_connection(connection);
      std::this_thread::sleep_for(kKnockPeriod);
    }
  });
  mg_stop(context_);
  stopped = true;
  knocker.join();
}

}  // namespace flashcore
