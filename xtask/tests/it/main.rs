//! The tests through the built binary: one test program, with a fake AWS, fake programs and a harness that runs the binary in a
//! world of its own.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    reason = "what tests share is a test too: it panics, says what it skips, starts processes, and reads better with values"
)]
#![expect(dead_code, reason = "the fake and the harness can do more than the tests of any one day use")]

mod adopt;
mod attach;
mod changed;
mod check;
mod ci_examples;
mod clean;
mod completion;
mod console;
mod ecs;
mod events;
mod exclusive;
mod exclusive_proof;
mod exclusivity;
mod expect;
mod fake;
mod fake_tests;
mod faults;
mod gateway;
mod github;
mod harness;
mod harness_tests;
mod host;
mod iam;
mod inside;
mod local;
mod long;
mod many;
mod mutants;
mod needs;
mod policy;
mod publish;
mod readme;
mod real;
mod real_attach;
mod real_context;
mod real_docker;
mod real_ecs;
mod real_exclusive;
mod real_faults;
mod real_policy;
mod real_publish;
mod real_schema;
mod real_shards;
mod refusals;
mod retry;
mod screens;
mod secrets;
mod shards;
mod streams;
mod tidy;
