// The style sheet of report.html: two colour schemes as variables, everything else built on them.
#pragma once

#include <string_view>

namespace rankine {

inline constexpr std::string_view kReportStyle = R"css(
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1c2330; --soft: #5d6778; --line: #dde1e8; --grid: #e9ecf1;
  --blue: #2563c9; --pale: #a9c4ee; --orange: #c7621b; --green: #1c7c4a; --red: #b3322f; --amber: #92610a;
  --area0: #8d97a8; --area1: #4f9aa6; --area2: #59a86f; --area3: #9277c4; --area4: #4f83d8; --area5: #e0914f;
  --area6: #d9b63f; --area7: #c9719d; }
@media (prefers-color-scheme: dark) { :root {
  --page: #12161d; --card: #1b212b; --ink: #e6eaf1; --soft: #9aa5b8; --line: #2e3744; --grid: #262e3a;
  --blue: #74a7f7; --pale: #3c5580; --orange: #eda063; --green: #6fcf97; --red: #f08b85; --amber: #e0b455;
  --area0: #66718a; --area1: #3c7f8b; --area2: #47895a; --area3: #7b62ad; --area4: #4273c4; --area5: #bf7335;
  --area6: #a98b2b; --area7: #a95a82; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 40px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 0 0 12px; }
small, .subtitle, .details, footer { color: var(--soft); }
.subtitle { margin: 4px 0 12px; }
.badge { font-size: 13px; font-weight: 600; padding: 2px 10px; border-radius: 99px; border: 1px solid currentColor;
  vertical-align: middle; white-space: nowrap; }
.badge.finished, .good { color: var(--green); } .badge.stopped { color: var(--amber); }
.badge.failed, .poor { color: var(--red); }
section, header { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px 22px;
  margin-bottom: 18px; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 16px 0 0; }
.tiles div { flex: 1 1 140px; max-width: 240px; border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; }
.tiles dt { color: var(--soft); font-size: 13px; }
.tiles dd { margin: 0; font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums; }
.warning { border-left: 4px solid var(--amber); padding: 6px 12px; margin: 12px 0 0; }
.warning b { color: var(--amber); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--grid); vertical-align: top; }
thead th { color: var(--soft); font-weight: 500; }
tbody th { font-weight: 500; } th small { display: block; font-weight: 400; }
tbody tr:last-child > * { border-bottom: 0; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.pairs th { width: 230px; } .pairs td { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.wide { width: 45%; } .share { width: 100%; height: 8px; display: block; margin-top: 7px; }
summary { cursor: pointer; color: var(--soft); }
.charts { display: grid; grid-template-columns: 1fr 1fr; gap: 22px; }
.chart:first-child { grid-column: span 2; }
figure { margin: 0; } figcaption { font-size: 14px; }
.chart figcaption { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 14px; margin-bottom: 4px; }
.chart small { margin-right: auto; }
.chart svg { width: 100%; height: auto; display: block; } .chart svg svg { width: auto; }
.key { color: var(--soft); font-size: 13px; }
.key i {
  display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 6px; vertical-align: middle;
}
path { fill: none; stroke-linejoin: round; }
path.raw { stroke: var(--pale); stroke-width: 1; } path.smooth { stroke: var(--blue); stroke-width: 2; }
path.second { stroke: var(--orange); stroke-width: 2; }
circle.raw { fill: var(--pale); } circle.smooth { fill: var(--blue); } circle.second { fill: var(--orange); }
i.raw { background: var(--pale); } i.smooth { background: var(--blue); } i.second { background: var(--orange); }
path.area0, i.area0 { --area: var(--area0); } path.area1, i.area1 { --area: var(--area1); }
path.area2, i.area2 { --area: var(--area2); } path.area3, i.area3 { --area: var(--area3); }
path.area4, i.area4 { --area: var(--area4); } path.area5, i.area5 { --area: var(--area5); }
path.area6, i.area6 { --area: var(--area6); } path.area7, i.area7 { --area: var(--area7); }
path.area { fill: var(--area); stroke: var(--card); stroke-width: .5; }
i.area { background: var(--area); height: 10px; } i.limit { background: var(--red); }
.limit { stroke: var(--red); stroke-width: 1.5; stroke-dasharray: 6 4; }
.mark { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 3; }
.grid { stroke: var(--grid); } .axis { stroke: var(--line); } .bad { stroke: var(--red); stroke-width: 2; }
.tick, .label { fill: var(--soft); font-size: 11px; } .bar { fill: var(--blue); }
.samples { display: grid; grid-template-columns: 1fr 1fr; gap: 22px; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 10px; }
.sample img, .none { width: 100%; border-radius: 6px; border: 1px solid var(--line); display: block; }
.none { aspect-ratio: 1; display: grid; place-items: center; color: var(--soft); }
.pair figcaption { color: var(--soft); font-size: 13px; text-align: center; margin-top: 4px; }
.prompt { margin: 0; font-weight: 500; overflow-wrap: anywhere; } .details { margin: 0 0 8px; font-size: 13px; }
footer { font-size: 13px; text-align: center; }
@media (max-width: 760px) { .charts, .samples { grid-template-columns: minmax(0, 1fr); } .wide { display: none; }
  .chart:first-child { grid-column: auto; } }
@media print {
  body { background: none; } section, header { border-color: #bbb; } figure, article, tr { break-inside: avoid; }
}
)css";

}  // namespace rankine
