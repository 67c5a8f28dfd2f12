/** The style of the report, for light and dark. */
export const reportStyle = `
:root { color-scheme: light dark; --ink: #1b2430; --soft: #5b6776; --line: #dfe4ea; --page: #f6f8fa; --card: #ffffff;
  --events: #2563a8; --pushes: #d9822b; --lateness: #7a4fb5; --bad: #c0392b; --good: #22804a; --gap: rgba(192, 57, 43, .14); }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf1; --soft: #9aa7b5; --line: #313b47; --page: #12171d;
  --card: #1a2129; --events: #6aa9ec; --pushes: #f0a85a; --lateness: #b394e6; --bad: #ef7567; --good: #5cc28a; --gap: rgba(239, 117, 103, .2); } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 32px 20px 56px; }
header { display: flex; align-items: center; gap: 16px; flex-wrap: wrap; }
h1 { font-size: 26px; margin: 0; } h2 { font-size: 18px; margin: 32px 0 10px; }
.verdict { margin: 0; padding: 3px 14px; border-radius: 999px; font-weight: 700; color: #fff; background: var(--good); }
.verdict.fail { background: var(--bad); }
@media (prefers-color-scheme: dark) { .verdict { color: #12171d; } }
.lead { margin: 10px 0 2px; font-size: 16px; } .meta, .key { color: var(--soft); margin: 0 0 20px; font-size: 13px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px; }
.tile, figure, table { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: 12px 16px; } .tile b { display: block; font-size: 22px; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
figure { margin: 16px 0 0; padding: 14px 16px 8px; } figcaption { font-weight: 600; } figcaption span { color: var(--soft); font-weight: 400; font-size: 13px; }
svg { display: block; width: 100%; height: auto; }
.grid { stroke: var(--line); } .tick { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.events { stroke: var(--events); } .pushes { stroke: var(--pushes); } .lateness { stroke: var(--lateness); }
.fault { stroke: var(--bad); stroke-dasharray: 4 3; } .flag { fill: var(--bad); } .gap { fill: var(--gap); }
.key { margin: 8px 2px 0; } .key i { display: inline-block; width: 14px; height: 10px; margin: 0 4px 0 10px; }
.flag-key { background: var(--bad); clip-path: polygon(0 0, 100% 0, 50% 100%); } .gap-key { background: var(--gap); border: 1px solid var(--bad); }
table { width: 100%; border-collapse: separate; border-spacing: 0; overflow: hidden; }
th, td { text-align: left; padding: 8px 14px; border-bottom: 1px solid var(--line); vertical-align: top; } tr:last-child td { border-bottom: 0; }
th { color: var(--soft); font-size: 13px; font-weight: 600; } td small { display: block; color: var(--soft); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.ok td:last-child { color: var(--good); } tr.broken td { color: var(--bad); font-weight: 600; }
.timeline { padding: 0; list-style: none; } .timeline li { padding: 4px 0; border-bottom: 1px solid var(--line); }
.timeline time { display: inline-block; min-width: 72px; color: var(--soft); font-variant-numeric: tabular-nums; }
`;
