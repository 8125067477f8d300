//! Instance: what does the report say of each instance?

use krilla::tagging::Tag;
use report::view::{AccountView, FindingView, InstanceView, MomentView, TracesView, WitnessView};

use super::{Setting, column, gap, plain, rows};
use crate::picture;
use crate::style::{BAD, BODY, CODE, SMALL, SOFT, Span, ink_of, span};

impl Setting<'_> {
    /// All instances in one table, then each by itself.
    pub(super) fn instances(&mut self) {
        self.heading(2, "Instances");
        let instances = std::mem::take(&mut self.view.instances);
        if instances.is_empty() {
            self.paragraph(&[span("No instance is known.", BODY)]);
            return;
        }
        let columns =
            [("Instance", 2.2), ("Verdict", 1.5), ("Version", 1.8), ("Findings", 0.8), ("Gaps", 0.7)].map(column);
        rows(&mut self.paper, &columns, instances.iter().map(overview));
        for instance in instances {
            self.instance(&instance);
        }
    }

    fn instance(&mut self, of: &InstanceView<'_>) {
        self.heading(3, &of.name);
        let verdict = span(of.verdict, BODY.bold().ink(ink_of(of.class)));
        let version =
            [span(format!("   {}  ", of.version), BODY.bold()), span(of.status, BODY.bold().ink(ink_of(of.status)))];
        self.paragraph(&[&[verdict], &version[..]].concat());
        if !of.traces.since.is_empty() {
            self.paragraph(&[span(&of.traces.since, BODY.bold().ink(BAD))]);
        }
        for reason in &of.reasons {
            self.paragraph(&[span(reason, BODY)]);
        }
        self.traces(&of.traces);
        self.findings(of);
        if !of.gaps.is_empty() {
            self.heading(4, "What could not be seen");
            self.list(of.gaps.iter().map(gap).collect());
        }
        self.facts(of);
    }

    fn traces(&mut self, of: &TracesView) {
        if let Some(chart) = &of.chart {
            self.heading(4, "Timeline");
            picture::draw(&mut self.paper, chart);
        }
        if !of.moments.is_empty() {
            self.heading(4, "Moments that weigh");
            rows(
                &mut self.paper,
                &[("When", 1.3), ("What", 1.4), ("Where and why", 4.2)].map(column),
                moments(&of.moments),
            );
            self.more(of.more_moments, "moments that weigh are in the timeline’s own file");
        }
        if !of.accounts.is_empty() {
            self.heading(4, "Accounts to reset");
            let columns = [("Account", 1.5), ("Kind", 1.0), ("Logins since the first sign", 2.6), ("From", 1.9)];
            rows(&mut self.paper, &columns.map(column), of.accounts.iter().map(account));
            self.more(of.more_accounts, "accounts are in the list’s own file");
        }
        if !of.reach.is_empty() {
            self.heading(4, "How far back the logs speak");
            self.list(of.reach.iter().map(plain).collect());
        }
    }

    fn more(&mut self, count: usize, what: &str) {
        if count > 0 {
            self.paragraph(&[span(format!("{count} more {what}."), SMALL)]);
        }
    }

    fn findings(&mut self, of: &InstanceView<'_>) {
        if of.findings.is_empty() {
            return;
        }
        self.heading(4, "Findings");
        if of.findings.len() <= FEW {
            self.list(of.findings.iter().map(listed).collect());
            return;
        }
        let columns = [("Severity", 0.8), ("What", 1.5), ("Where and why", 4.6)].map(column);
        rows(&mut self.paper, &columns, of.findings.iter().map(|one| finding(one).to_vec()));
        self.more(of.more, "findings are in the JSON form of this report");
    }

    fn facts(&mut self, of: &InstanceView<'_>) {
        // One paragraph of several lines: each by itself would be five times the tags for the same to hear.
        let lines = of.facts.iter().enumerate().flat_map(|(at, (name, value))| {
            let before = if at == 0 { "" } else { "\n" };
            [span(format!("{before}{name}:  "), SMALL.bold()), span(value, BODY)]
        });
        let lines: Vec<_> = lines.collect();
        if !lines.is_empty() {
            self.paper.text(Tag::P, &lines, 0.0);
            self.paper.skip(4.0);
        }
        if !of.witnesses.is_empty() {
            self.heading(4, "What shows the version");
            self.list(of.witnesses.iter().map(witness).collect());
        }
    }
}

/// How many findings are a list. More are a table, in which the eye finds the worst.
const FEW: usize = 3;

/// A finding as a line of a list.
fn listed(of: &FindingView) -> Vec<Span> {
    let [severity, code, what] = finding(of);
    let apart = || vec![span("  ", BODY)];
    [severity, apart(), code, apart(), what].concat()
}

fn overview(of: &InstanceView<'_>) -> Vec<Vec<Span>> {
    let gaps: usize = of.gaps.iter().map(|gap| gap.more + 1).sum();
    vec![
        vec![span(&of.name, BODY.bold())],
        vec![span(of.verdict, BODY.bold().ink(ink_of(of.class)))],
        vec![span(format!("{} ", of.version), BODY), span(of.status, BODY.ink(ink_of(of.status)))],
        plain((of.findings.len() + of.more).to_string()),
        plain(gaps.to_string()),
    ]
}

fn finding(of: &FindingView) -> [Vec<Span>; 3] {
    let mut what = vec![span(format!("{}  ", of.place), CODE.bold()), span(&of.why, BODY)];
    if !of.changed.is_empty() {
        what.push(span(format!("  Inode changed {}.", of.changed), SMALL));
    }
    if !of.sha256.is_empty() {
        what.push(span(format!("  SHA-256 {}", of.sha256), CODE.size(6.4).ink(SOFT)));
    }
    [vec![span(of.severity, BODY.bold().ink(ink_of(of.severity)))], vec![span(&of.code, CODE)], what]
}

fn moments(of: &[MomentView]) -> Vec<Vec<Vec<Span>>> {
    let row = |moment: &MomentView| {
        let why = vec![
            span(format!("{}  ", moment.place), CODE),
            span(&moment.why, BODY),
            span(format!("  {}", moment.clock), SMALL),
        ];
        vec![vec![span(&moment.time, BODY.bold())], vec![span(&moment.what, CODE.ink(ink_of(moment.class)))], why]
    };
    of.iter().map(row).collect()
}

fn account(of: &AccountView) -> Vec<Vec<Span>> {
    let logins = vec![span(&of.logins, BODY), span(format!("  {}", of.why), SMALL)];
    vec![vec![span(&of.name, BODY.bold())], plain(&of.kinds), logins, plain(&of.addresses)]
}

fn witness(of: &WitnessView<'_>) -> Vec<Span> {
    let mut spans = vec![
        span(format!("{}: ", of.source), CODE),
        span(format!("{} ", of.value), BODY.bold()),
        span(of.status, BODY.bold().ink(ink_of(of.status))),
        span(format!(": {}.", of.why), BODY),
    ];
    if of.hint {
        spans.push(span("  A hint: other versions may show the same.", SMALL));
    }
    if of.fakeable {
        spans.push(span("  Whoever controls the instance can fake it.", SMALL));
    }
    spans
}
