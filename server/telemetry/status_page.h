// The page that a person sees at the metrics endpoint: one HTML document that needs nothing else. It asks /metrics and
// /readyz every second and draws what it gets.
#ifndef FLASHCORE_SERVER_TELEMETRY_STATUS_PAGE_H_
#define FLASHCORE_SERVER_TELEMETRY_STATUS_PAGE_H_

#include "absl/strings/string_view.h"

namespace flashcore {

// The bytes of status_page.html.
absl::string_view StatusPage();

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_STATUS_PAGE_H_
