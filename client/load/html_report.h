// The report as one HTML page: no script, no other file, plots drawn as inline SVG, light and dark.
#ifndef FLASHCORE_CLIENT_LOAD_HTML_REPORT_H_
#define FLASHCORE_CLIENT_LOAD_HTML_REPORT_H_

#include <string>

#include "client/load/report.h"

namespace flashcore {

std::string ToHtml(const LoadReport& report);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_HTML_REPORT_H_
