"""How a page looks: light and dark, on a phone and on paper, without a file beside it."""

# Of Okabe and Ito's colours, which colour-blind people can tell apart, those that stand out from white and from black.
ORANGE, BLUE, GREEN, PINK, OLIVE, VIOLET = "#d55e00", "#0090d0", "#009e73", "#cc79a7", "#a08800", "#8f6fd0"

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --faint: #5c5c5c; --ground: #ffffff; --box: #f4f4f2; --line: #d8d8d4;
  --mark: 213, 94, 0; --good: 0, 114, 178; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e6; --faint: #a6a6a2; --ground: #161616; --box: #222222;
  --line: #3a3a3a; --mark: 255, 130, 40; --good: 80, 180, 240; } }
@media print { :root { color-scheme: light; --ink: #000000; --faint: #444444; --ground: #ffffff; --box: #ffffff;
  --line: #bbbbbb; --mark: 213, 94, 0; --good: 0, 114, 178; } * { print-color-adjust: exact; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; color: var(--ink); background: var(--ground);
  font: 16px/1.45 system-ui, sans-serif; }
h1, h2, h3, h4 { line-height: 1.2; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0.5rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; padding-top: 0.5rem; border-top: 1px solid var(--line); }
h3, h4 { font-size: 1rem; margin: 1rem 0 0.4rem; }
h4 { font-size: 0.9375rem; }
p, li, figcaption { max-width: 50rem; overflow-wrap: anywhere; }
.faint, figcaption { color: var(--faint); font-size: 0.875rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 0.2rem 0.75rem 0.2rem 0; border-bottom: 1px solid var(--line);
  font-weight: normal; overflow-wrap: anywhere; min-width: 9rem; }
th { color: var(--faint); min-width: 6.5rem; max-width: 20rem; }
thead th { color: var(--ink); font-weight: 600; }
mark { color: inherit; background: rgba(var(--mark), 0.2); }
pre { font: 0.8125rem/1.5 ui-monospace, monospace; }
pre { overflow-x: auto; background: var(--box); padding: 0.6rem 0.8rem; border-radius: 0.4rem; margin: 0.4rem 0; }
.grid { display: grid; gap: 1.25rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
.grid > * { min-width: 0; }
figure { margin: 0; break-inside: avoid; }
figcaption { margin-top: 0.3rem; }
figure svg { display: block; width: 100%; max-width: 30rem; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
svg text { font-family: system-ui, sans-serif !important; }
.key { display: flex; flex-wrap: wrap; gap: 0.3rem 1.25rem; list-style: none; padding: 0.4rem 0; margin: 0;
  position: sticky; top: 0; background: var(--ground); }
.key i { display: inline-block; width: 1.6rem; height: 0; margin-right: 0.5rem; vertical-align: middle;
  border-top: 3px solid; }
.parts { list-style: none; padding: 0; }
.parts li { margin: 0.3rem 0; }
.parts i { display: inline-block; width: 0.8rem; height: 0.8rem; margin-right: 0.5rem; border-radius: 0.2rem; }
.bar { display: flex; height: 1.6rem; border-radius: 0.3rem; overflow: hidden; background: var(--box);
  max-width: 50rem; font-size: 0.75rem; line-height: 1.6rem; }
.bar span { overflow: hidden; white-space: nowrap; text-indent: 0.35rem; color: #000000; }
.confusion { width: 100%; max-width: 30rem; table-layout: fixed; font-size: 0.8125rem; }
.confusion th, .confusion td { text-align: center; padding: 0.2rem 0; min-width: 1.9rem; overflow-wrap: normal; }
.confusion thead th, .confusion th { font-weight: 600; color: var(--faint); }
.confusion span { display: block; }
.mistakes { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); }
.pixels { image-rendering: pixelated; display: block; }
.mistakes .pixels { width: 100%; max-width: 8.5rem; height: auto; background: #000000; border-radius: 0.25rem; }
.mistakes svg { max-width: 8.5rem; margin-top: 0.3rem; }
.sheet { width: 100%; max-width: 37.5rem; height: auto; }
@media print { h2 { break-after: avoid; } body { font-size: 11pt; max-width: none; } .wide { overflow: visible; }
  .key { position: static; } pre { white-space: pre-wrap; } th, td { min-width: 0; } }
"""
