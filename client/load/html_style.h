// The style sheet of the HTML report.
#ifndef FLASHCORE_CLIENT_LOAD_HTML_STYLE_H_
#define FLASHCORE_CLIENT_LOAD_HTML_STYLE_H_

namespace flashcore {

inline constexpr char kHtmlStyle[] = R"css(
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1b2330; --soft: #5d6878; --line: #e1e5eb; --grid: #edf0f4;
  --c1: #1f6feb; --c2: #d9730d; --c3: #12876f; --c4: #8250df; --bad: #cf222e; --good: #1a7f37;
  --good-back: #e6f4ea; --bad-back: #fdebec; --note-back: #fff6e0; --note: #8a5a00; }
@media (prefers-color-scheme: dark) { :root {
  --page: #0e1217; --card: #161b22; --ink: #e4e9f0; --soft: #97a3b4; --line: #2a323d; --grid: #212832;
  --c1: #58a6ff; --c2: #f0883e; --c3: #3fc6a8; --c4: #bc8cff; --bad: #ff7b72; --good: #56d364;
  --good-back: #12261a; --bad-back: #2f1618; --note-back: #2a2310; --note: #e3b341; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 48px; }
header h1 { font-size: 22px; margin: 0 0 2px; letter-spacing: -0.01em; }
header p { margin: 0; color: var(--soft); }
h2 { font-size: 16px; margin: 0 0 2px; }
.sub { color: var(--soft); margin: 0 0 12px; font-size: 13.5px; }
.verdict { border-radius: 10px; padding: 14px 18px; margin: 20px 0; border: 1px solid var(--line);
  border-left-width: 6px; background: var(--card); }
.verdict strong { font-size: 18px; display: block; }
.verdict ul { margin: 6px 0 0; padding-left: 20px; }
.verdict.good { border-left-color: var(--good); background: var(--good-back); }
.verdict.good strong { color: var(--good); }
.verdict.bad { border-left-color: var(--bad); background: var(--bad-back); }
.verdict.bad strong { color: var(--bad); }
.notes { border-radius: 10px; padding: 10px 18px; margin: -8px 0 20px; background: var(--note-back);
  color: var(--note); font-size: 14px; }
.notes ul { margin: 0; padding-left: 18px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-bottom: 20px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.tile span { color: var(--soft); font-size: 13px; display: block; }
.tile b { font-size: 24px; font-weight: 600; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; }
.tile b small { font-size: 14px; font-weight: 500; color: var(--soft); margin-left: 3px; letter-spacing: 0; }
.tile em { font-style: normal; color: var(--soft); font-size: 12.5px; display: block; }
.grid2 { display: grid; grid-template-columns: repeat(auto-fit, minmax(460px, 1fr)); gap: 16px; }
@media (max-width: 540px) { .grid2 { grid-template-columns: 1fr; } }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 20px 18px;
  margin-bottom: 16px; min-width: 0; }
.grid2 section { margin-bottom: 0; } .grid2 { margin-bottom: 16px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 6px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; font-size: 13px; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td.text, th.text { text-align: left; white-space: normal; }
tr:last-child td { border-bottom: 0; }
tr.main td { font-weight: 600; }
td.bad { color: var(--bad); font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 0; font-size: 14px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
code { font: 13px/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--soft); font-size: 12px; }
svg .grid { stroke: var(--grid); } svg .axis { stroke: var(--line); }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .area { stroke: none; opacity: 0.12; } svg .bar { stroke: none; }
svg .marker { stroke: var(--bad); stroke-dasharray: 5 4; } svg .marker-label { fill: var(--bad); }
.line.c0 { stroke: var(--soft); stroke-dasharray: 4 4; } .line.c1, .dot.c1 { stroke: var(--c1); } .line.c2, .dot.c2 { stroke: var(--c2); }
.line.c3, .dot.c3 { stroke: var(--c3); } .line.c4, .dot.c4 { stroke: var(--c4); } .line.bad { stroke: var(--bad); }
.area.c1, .bar.c1 { fill: var(--c1); } .area.c2, .bar.c2 { fill: var(--c2); } .area.c3, .bar.c3 { fill: var(--c3); }
.area.c4, .bar.c4 { fill: var(--c4); } .bar.bad { fill: var(--bad); }
svg .dot { fill: var(--card); stroke-width: 2; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; color: var(--soft); margin: 0 0 6px 52px; }
.key { display: inline-block; width: 14px; height: 4px; border-radius: 2px; margin-right: 6px; vertical-align: middle; }
.key.c0 { background: var(--soft); } .key.c1 { background: var(--c1); } .key.c2 { background: var(--c2); } .key.c3 { background: var(--c3); }
.key.c4 { background: var(--c4); } .key.bad { background: var(--bad); }
.fall { display: grid; grid-template-columns: max-content 1fr max-content; gap: 7px 14px; align-items: center;
  font-size: 14px; font-variant-numeric: tabular-nums; }
.fall .track { position: relative; height: 16px; background: var(--grid); border-radius: 3px; }
.fall .track i { position: absolute; top: 0; bottom: 0; border-radius: 3px; background: var(--c1); min-width: 2px; }
.fall .track i.net { background: var(--soft); opacity: 0.6; } .fall .track i.wait { background: var(--c2); }
.fall .value { text-align: right; } .fall .value small { color: var(--soft); }
footer { color: var(--soft); font-size: 13px; margin-top: 20px; }
)css";

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_HTML_STYLE_H_
