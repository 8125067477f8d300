//! `mitigate`, many, plan: which proxies are there, and what is different about each?
//!
//! `--host` several times, or `--hosts FILE` with a proxy a line: `ssh://root@front1 at=192.0.2.7:443
//! config=/etc/x.conf`. Each is planned by itself, as if it were alone. One that cannot be planned stops all: what was
//! forgotten leaves the hole open, and nobody looks for it later.

use std::path::Path;

use ::case::Case;
use ::directive::change::Written;
use ::directive::record::{DutyCount, hex};
use ::directive::state::State;
use ::directive::text::{chain, escape};
use ::directive::verdict::Exit;
use ::mitigate::apply::Journal as _;
use sha2::{Digest as _, Sha256};

use super::super::plan::{Args, planned_step, written};
use super::super::{clock, scope};
use super::journal::Together;
use super::list::{LIST, MOST, is_plain, text};
use super::side_by_side;
use crate::clock::Clock;
use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// How many are planned at a time.
const AT_ONCE: usize = 16;

/// Whether a command line is about more than one proxy.
pub(in super::super) fn is_many(args: &Args) -> bool {
    args.hosts.is_some() || args.host.len() > 1
}

/// Plans each, and writes the list.
pub(in super::super) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    let all = rows(args)?;
    let pack = open::pack(&args.pack)?;
    let scope = scope(&args.scope)?;
    let mut case = args.case.as_deref().map(Case::open).transpose()?;
    let state = match &case {
        Some(case) => State::from_records(&case.records()?),
        None => State::default(),
    };
    let clock = case.as_ref().map_or_else(|| Ok(Clock::machine()), clock)?;
    let planned = side_by_side(&all, AT_ONCE, |args| written(args, &pack, &scope, &state, clock));
    let (mut changes, mut wrong) = (Vec::new(), Vec::new());
    for (number, (row, planned)) in all.iter().zip(planned).enumerate() {
        match planned {
            Ok(written) => changes.push((name(number, row), written)),
            Err(err) => wrong.push(format!("{}: {}", escape(host(row)), chain(&err))),
        }
    }
    if let Some(first) = wrong.first() {
        wrong.iter().for_each(|line| ui.status(format_args!("{line}")));
        return Err(CommandError::new(format!(
            "{} of {} cannot be planned; nothing was written, and nothing was touched; the first: {first}",
            wrong.len(),
            all.len()
        ))
        .hint("put them right, or leave them out of the list knowing that the hole stays open there"));
    }
    let listed: Vec<(String, &Written)> = changes.iter().map(|(name, written)| (name.clone(), written)).collect();
    let list = text(&listed);
    write(&args.output, &listed, &list)?;
    if let Some(case) = &mut case {
        let together = Together::new(case, clock, ui);
        let kept = side_by_side(&listed, listed.len().min(64), |(_, written)| {
            let mut journal = together.of(written);
            journal.keep(written.bytes()).and_then(|_| journal.step(planned_step(written)))
        });
        if let Some(err) = kept.into_iter().find_map(Result::err) {
            return Err(CommandError::new(format!("the case cannot be written: {err}")));
        }
    }
    tell(ui, args, &listed, &hex(&Sha256::digest(&list)));
    Ok(Exit::Done)
}

fn write(dir: &Path, listed: &[(String, &Written)], list: &str) -> Result<(), CommandError> {
    std::fs::create_dir(dir).map_err(|err| {
        CommandError::because(format!("cannot make the folder {}", dir.display()), err)
            .hint("of several proxies, -o names a folder that is made")
    })?;
    for (name, written) in listed {
        crate::command::write_file(&dir.join(format!("{name}.toml")), written.bytes())?;
    }
    // Last: without it there is nothing that could be approved.
    crate::command::write_file(&dir.join(LIST), list.as_bytes())
}

fn tell(ui: &mut Ui, args: &Args, listed: &[(String, &Written)], digest: &str) {
    if ui.is_json() {
        let at = listed.first().map(|(_, written)| written.change().made).unwrap_or_default();
        return ui.record(&crate::command::summary(&[], DutyCount::default(), Exit::Done, at));
    }
    let lines = listed.iter().map(|(name, written)| {
        let files = written.change().files.len();
        format!("{}  {name}  {files} files\n", &written.sha256()[..12])
    });
    let lines: String = lines.collect();
    ui.text(&lines);
    ui.status(format_args!(
        "\nNothing was touched. {count} changes stand in {dir}; read them. To carry them out:\n  \
         portcullis mitigate apply {dir} --scope {scope} --by YOUR-NAME --approve {short}",
        count = listed.len(),
        dir = args.output.display(),
        scope = args.scope.display(),
        short = &digest[..12]
    ));
}

fn host(args: &Args) -> &str {
    args.host.first().map_or("local", String::as_str)
}

/// `001-root-front1`: in the order of the list, with what tells them apart.
fn name(number: usize, args: &Args) -> String {
    let host = host(args).trim_start_matches("ssh://");
    let word: String = host.chars().map(|c| if is_plain(&c.to_string()) { c } else { '-' }).collect();
    format!("{:03}-{}", number + 1, word.trim_matches(['-', '.']))
}

/// A command line for each proxy.
fn rows(args: &Args) -> Result<Vec<Args>, CommandError> {
    let mut all: Vec<Args> = Vec::new();
    if args.hosts.is_none() {
        all.extend(args.host.iter().map(|host| args.only(host)));
    }
    if let Some(path) = &args.hosts {
        let name = path.display();
        let bytes = open::read(path).map_err(|err| CommandError::because(format!("cannot read {name}"), err))?;
        for (number, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(host) = words.next() else { continue };
            let mut row = args.only(host);
            let wrong = |word: &str| {
                CommandError::new(format!("{name}, line {}: {:?} is not understood", number + 1, escape(word)))
                    .hint("a line is HOST at=ADDRESS config=PATH pid-file=PATH instance=NAME name=NAME")
            };
            for word in words {
                let (key, value) = word.split_once('=').ok_or_else(|| wrong(word))?;
                let value = value.to_owned();
                match key {
                    "at" => row.at = vec![value.parse().map_err(|_| wrong(word))?],
                    "config" => row.config = Some(value),
                    "pid-file" => row.pid_file = Some(value),
                    "instance" => row.instance = value,
                    "name" => row.name = Some(value),
                    _ => return Err(wrong(word)),
                }
            }
            all.push(row);
        }
    }
    if all.is_empty() || all.len() > MOST {
        return Err(CommandError::new(format!("{} proxies are named, and 1 to {MOST} can be", all.len())));
    }
    Ok(all)
}
