//! Expectations that are files: `tests/fixtures/NAME`. `UPDATE_EXPECT=1` writes them.

use std::path::Path;

use crate::harness::diff::diff;

/// Compares with the file.
#[track_caller]
pub fn file(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("the folder can be made");
        std::fs::write(&path, actual).expect("the file can be written");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{name} differs (- expected, + actual; UPDATE_EXPECT=1 writes it):\n{}\n{actual}",
        diff(&expected, actual)
    );
}
