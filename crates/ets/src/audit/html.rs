//! The report as one page that needs nothing else: no script, no font, no network.

use std::fmt::Write as _;

use ets_core::verify::Verdict;

use super::report::Report;

/// The most checkpoints that the timeline draws; of more it draws some, evenly.
const POINTS: usize = 400;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2430;--paper:#fff;--line:#ccd3dc;--good:#17703c;--bad:#b3261e;--open:#8a5a00}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--paper:#14181e;--line:#39424e;--good:#6fd394;--bad:#ff8f86;--open:#f0bd5a}}
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:0 auto;padding:1rem;color:var(--ink);background:var(--paper)}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}code{font-size:.85em;overflow-wrap:anywhere}
.verdict{border:2px solid;border-radius:.5rem;padding:.8rem 1rem}.verdict b{font-size:1.4rem}
.MATCH{color:var(--good)}.MISMATCH{color:var(--bad)}.UNVERIFIABLE{color:var(--open)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid var(--line)}
td.n{text-align:right;font-variant-numeric:tabular-nums}svg{width:100%;height:auto;border:1px solid var(--line)}
";

/// The page.
pub fn page(report: &Report) -> String {
    let verdict = report.verdict.as_str();
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{verdict}: audit of {}</title><style>{STYLE}</style></head>\n<body>\n\
         <h1>Audit of {}</h1>\n<p>Ledger <code>{}</code>, root key <code>{}</code>{}</p>\n\
         <p class=\"verdict {verdict}\"><b>{verdict}{}</b><br>{}</p>\n",
        escaped(report.origin.as_deref().unwrap_or("a ledger")),
        escaped(report.origin.as_deref().unwrap_or("a ledger")),
        escaped(&report.ledger_id),
        escaped(report.root_key.as_deref().unwrap_or("unknown")),
        if report.is_named { "" } else { ", which nobody named" },
        report.trust.map(|word| format!(" {word}")).unwrap_or_default(),
        escaped(&summary(report)),
    );
    findings(&mut out, report);
    timeline(&mut out, report);
    out.push_str("<h2>Domains</h2>\n<div class=\"wide\"><table><tr><th>Domain<th>Leaves<th>Root\n");
    for (name, size, root) in &report.domains {
        let _ = writeln!(out, "<tr><td>{}<td class=\"n\">{size}<td><code>{root}</code>", escaped(name));
    }
    out.push_str("</table></div>\n<h2>Evidence from outside</h2>\n");
    if report.evidence.is_empty() {
        out.push_str("<p>None was given.</p>\n");
    } else {
        out.push_str("<div class=\"wide\"><table><tr><th>Holds<th>Leaves<th>Source\n");
        for held in &report.evidence {
            let (class, word) = if held.holds { ("MATCH", "holds") } else { ("MISMATCH", "broken") };
            let source = escaped(&held.source);
            let _ =
                writeln!(out, "<tr><td class=\"{class}\">{word}<td class=\"n\">{}<td>{source}", held.leaves);
        }
        out.push_str("</table></div>\n");
    }
    out.push_str("<h2>Checked</h2>\n<ul>\n");
    report.checked.iter().for_each(|line| list_item(&mut out, line));
    out.push_str("</ul>\n<h2>Not checked</h2>\n<ul>\n");
    report.not_checked.iter().for_each(|line| list_item(&mut out, line));
    out.push_str("</ul>\n</body>\n</html>\n");
    out
}

fn list_item(out: &mut String, line: &str) {
    let _ = writeln!(out, "<li>{}", escaped(line));
}

fn summary(report: &Report) -> String {
    match report.verdict {
        Verdict::Match => report.reach(),
        Verdict::Mismatch => format!("{} findings: something is not what it was.", report.finding_count),
        Verdict::Unverifiable => "Nothing was found wrong, but not everything could be checked.".to_owned(),
    }
}

fn findings(out: &mut String, report: &Report) {
    let _ = writeln!(out, "<h2>Findings ({})</h2>", report.finding_count);
    if report.findings.is_empty() {
        out.push_str("<p>None.</p>\n");
        return;
    }
    out.push_str("<div class=\"wide\"><table><tr><th>Class<th>Where<th>Check<th>What\n");
    for finding in &report.findings {
        let place: Vec<String> = [
            finding.domain.clone(),
            finding.stream.clone(),
            finding.sequence.map(|sequence| format!("#{sequence}")),
            finding.event_id.map(|id| id.to_string()),
        ]
        .into_iter()
        .flatten()
        .collect();
        let compared = match (&finding.expected, &finding.actual) {
            (None, None) => String::new(),
            (expected, actual) => format!(
                "<br><code>expected {}</code><br><code>found {}</code>",
                escaped(expected.as_deref().unwrap_or("nothing")),
                escaped(actual.as_deref().unwrap_or("nothing"))
            ),
        };
        let _ = writeln!(
            out,
            "<tr><td class=\"{}\">{}<td>{}<td>{}<td>{}{compared}",
            finding.class.verdict().as_str(),
            finding.class,
            escaped(&place.join(" ")),
            finding.check,
            escaped(&finding.detail),
        );
    }
    out.push_str("</table></div>\n");
}

/// Leaves over checkpoints, with what evidence covers.
fn timeline(out: &mut String, report: &Report) {
    const WIDTH: f64 = 1000.0;
    const HEIGHT: f64 = 200.0;
    let _ = writeln!(out, "<h2>Checkpoints ({})</h2>", report.checkpoints.len());
    let (Some(first), Some(last)) = (report.checkpoints.first(), report.checkpoints.last()) else {
        out.push_str("<p>None.</p>\n");
        return;
    };
    let most = report.checkpoints.iter().map(|seal| seal.leaves).max().unwrap_or(0).max(1) as f64;
    let y = |leaves: u64| HEIGHT - leaves as f64 / most * (HEIGHT - 10.0);
    let step = report.checkpoints.len().div_ceil(POINTS).max(1);
    let count = report.checkpoints.len().saturating_sub(1).max(1) as f64;
    let shown: Vec<_> = report
        .checkpoints
        .iter()
        .enumerate()
        .filter(|(index, _)| index % step == 0 || index + 1 == report.checkpoints.len())
        .map(|(index, seal)| (index as f64 / count * WIDTH, seal))
        .collect();
    let line: Vec<String> = shown.iter().map(|(x, seal)| format!("{x:.1},{:.1}", y(seal.leaves))).collect();
    let _ = writeln!(
        out,
        "<svg viewBox=\"-8 -8 {} {}\" role=\"img\" aria-label=\"Sealed events at each checkpoint\">",
        WIDTH + 16.0,
        HEIGHT + 16.0
    );
    for (leaves, name, colour) in [
        (report.witnessed, "kept copies reach here", "--open"),
        (report.anchored, "anchors reach here", "--good"),
    ] {
        if leaves > 0 {
            let _ = writeln!(
                out,
                "<line x1=\"0\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\" stroke=\"var({colour})\" stroke-dasharray=\"6 4\"/>\
                 <title>{name}</title>",
                y(leaves)
            );
        }
    }
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\"/>",
        line.join(" ")
    );
    for (x, seal) in &shown {
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"currentColor\"><title>checkpoint {}, {}: {} events</title></circle>",
            y(seal.leaves),
            seal.id,
            escaped(&seal.created_at),
            seal.leaves
        );
    }
    let _ = writeln!(
        out,
        "</svg>\n<p>From checkpoint {} ({}) to checkpoint {} ({}): {} sealed events, MetaRoot <code>{}</code>. Times are the \
         server's word. Dashed: how far kept copies and anchors reach.</p>",
        first.id,
        escaped(&first.created_at),
        last.id,
        escaped(&last.created_at),
        last.leaves,
        escaped(&last.meta_root)
    );
}

/// `text` as HTML shows it: what a server says is never markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
