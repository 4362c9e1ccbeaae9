//! Bars with their spread, as SVG written by hand: readable in light and in dark.
//!
//! In: names and spreads. Out: one SVG document. Never: a font or a script from elsewhere.

use std::fmt::Write as _;

use super::report::Spread;

/// One bar: the median, and a whisker from the least to the greatest.
pub struct Bar {
    pub name: String,
    pub spread: Spread,
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 120.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 64.0;
const STEP: f64 = 34.0;
const THICK: f64 = 20.0;

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}.t{font-weight:600;font-size:15px}\
.u{fill:#59636e}.r{fill:#8c959f}.w{fill:#0969da}.s{stroke:#1f2328;stroke-width:1.5}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.u{fill:#9198a1}.r{fill:#6e7681}\
.w{fill:#58a6ff}.s{stroke:#e6edf3}}";

/// Horizontal bars from zero.
pub fn bars(title: &str, unit: &str, bars: &[Bar]) -> String {
    let height = TOP + STEP * bars.len() as f64 + 12.0;
    let most = bars.iter().map(|bar| bar.spread.max).fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * value.max(0.0) / most;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" aria-label=\"{title}\">\n<style>{STYLE}</style>\n\
         <text class=\"t\" x=\"12\" y=\"24\">{title}</text>\n\
         <text class=\"u\" x=\"12\" y=\"46\">{unit}; median, line from least to greatest</text>\n",
        title = escaped(title),
        unit = escaped(unit),
    );
    for (index, bar) in bars.iter().enumerate() {
        let Spread { median, min, max, .. } = bar.spread;
        let top = TOP + STEP * index as f64;
        let middle = top + THICK / 2.0;
        let class = if bar.name.starts_with("weir") { "w" } else { "r" };
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" \
             height=\"{THICK}\" rx=\"2\"/>\
             <path class=\"s\" d=\"M{:.1} {middle:.1}H{:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 8.0,
            middle + 5.0,
            escaped(&bar.name),
            x(median) - LEFT,
            x(min),
            x(max),
            x(max) + 8.0,
            middle + 5.0,
            label(median),
        );
    }
    out.push_str("</svg>\n");
    out
}

fn label(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fits_and_names_are_escaped() {
        let spread = Spread { median: 5.0, min: 4.0, max: 10.0, count: 3 };
        let svg = bars("a < b", "us", &[Bar { name: "weir & co".into(), spread }]);
        assert!(svg.contains("weir &amp; co") && svg.contains("a &lt; b"), "{svg}");
        assert!(svg.contains("H630.0"), "the whisker ends where the space for the number starts");
        assert!(svg.contains("width=\"255.0\""), "half the space for half the value");
    }
}
