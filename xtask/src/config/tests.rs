//! tasks.toml as a whole: the example of every key, each kind of mistake with the token it points at, ten of them at once.

use super::*;

fn source(text: &str) -> Arc<Source> {
    Arc::new(Source { path: "tasks.toml".to_owned(), text: text.to_owned() })
}
#[test]
fn the_example_parses() {
    if let Err(e) = parse(&source(include_str!("example.toml"))) {
        panic!("{:#?}", e.problems)
    }
}
