//! The content tag of an image: one hash over everything that a build of it can see, so that an unchanged tree is built once, on
//! whichever machine comes first. Pure: the walk of the context is in `context`.
//!
//! What is left out, and why: times, owners and all of the mode but the executable bit, because a checkout does not keep them; the
//! contents of build secrets, because they are renewed without changing what is built, and because a tag is public: a hash over a short
//! secret could be guessed from it. Where a secret comes from (its `--secret` text) is an input like any other argument.

use std::collections::BTreeMap;

use ring::digest::{Context, SHA256};

/// Raised whenever the same inputs would give another hash, so that no tag ever means two things.
const VERSION: u8 = 1;

/// A SHA-256.
pub type Digest = [u8; 32];

/// What stands at a path of the build context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory. Its mode does not count.
    Directory,
    /// A regular file.
    File {
        /// The owner may execute it.
        executable: bool,
        /// Of its bytes: see [`Content`].
        content: Digest,
    },
    /// A symbolic link: where it points to, as written. Nothing is followed.
    Symlink(Vec<u8>),
    /// A named pipe or a device: only that it is there.
    Special,
}

/// One path of the build context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the context, with `/` between the names, as bytes: file names need not be UTF-8.
    pub path: Vec<u8>,
    /// What stands there.
    pub kind: Kind,
}

/// Everything that decides what is built, apart from the platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// [`of_tree`] of the build context.
    pub context: Digest,
    /// [`of_tree`] of further contexts (`--build-context NAME=FOLDER`), by name.
    pub named_contexts: BTreeMap<String, Digest>,
    /// Of the Dockerfile's bytes: it may lie outside the context, or be ignored there, and counts all the same.
    pub dockerfile: Digest,
    /// Of the ignore file's bytes, where there is one.
    pub ignore_file: Option<Digest>,
    /// `build-args`.
    pub build_args: BTreeMap<String, String>,
    /// `target`.
    pub target: Option<String>,
    /// `build-options`, in their order.
    pub options: Vec<String>,
    /// `build-secrets` as written, in their order.
    pub secrets: Vec<String>,
}

/// The digest of a file's bytes, fed piece by piece.
pub struct Content(Context);

impl Content {
    /// Of nothing yet.
    #[expect(clippy::new_without_default, reason = "a hash in progress has no default worth naming")]
    pub fn new() -> Content {
        Content(Context::new(&SHA256))
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything that was added.
    pub fn finish(self) -> Digest {
        let mut digest = Digest::default();
        digest.copy_from_slice(self.0.finish().as_ref());
        digest
    }

    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut content = Content::new();
        content.update(bytes);
        content.finish()
    }
}

/// The digest of a tree. The order in which the entries were found does not matter.
pub fn of_tree(entries: &[Entry]) -> Digest {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let mut hash = Fields::new("tree");
    for entry in sorted {
        hash.bytes(&entry.path);
        match &entry.kind {
            Kind::Directory => hash.bytes(b"directory"),
            Kind::File { executable, content } => {
                hash.bytes(if *executable { b"executable" } else { b"file" });
                hash.bytes(content);
            }
            Kind::Symlink(target) => {
                hash.bytes(b"symlink");
                hash.bytes(target);
            }
            Kind::Special => hash.bytes(b"special"),
        }
    }
    hash.finish()
}

/// The tag: `xtask-` and 40 hexadecimal digits (160 bits, as many as git's), well below the 128 characters that a tag may have even
/// with a run's id behind it.
pub fn tag(inputs: &Inputs, platform: &str) -> String {
    let mut hash = Fields::new("image");
    hash.bytes(platform.as_bytes());
    hash.bytes(&inputs.context);
    hash.count(inputs.named_contexts.len());
    for (name, digest) in &inputs.named_contexts {
        hash.bytes(name.as_bytes());
        hash.bytes(digest);
    }
    hash.bytes(&inputs.dockerfile);
    hash.optional(inputs.ignore_file.as_ref().map(Digest::as_slice));
    hash.count(inputs.build_args.len());
    for (name, value) in &inputs.build_args {
        hash.bytes(name.as_bytes());
        hash.bytes(value.as_bytes());
    }
    hash.optional(inputs.target.as_deref().map(str::as_bytes));
    for list in [&inputs.options, &inputs.secrets] {
        hash.count(list.len());
        for value in list {
            hash.bytes(value.as_bytes());
        }
    }
    let hex: String = hash.finish()[..20].iter().map(|it| format!("{it:02x}")).collect();
    format!("xtask-{hex}")
}

/// Fields with their lengths before them, so that no two different lists of fields have the same bytes. They are hashed many at a time:
/// a call for each field would take longer than its hash.
struct Fields {
    content: Content,
    /// Not hashed yet.
    bytes: Vec<u8>,
}

/// So much is hashed at once.
const AT_ONCE: usize = 64 * 1024;

impl Fields {
    fn new(domain: &str) -> Fields {
        let mut fields = Fields { content: Content::new(), bytes: Vec::with_capacity(AT_ONCE) };
        fields.bytes(b"cargo xtask");
        fields.bytes(domain.as_bytes());
        fields.bytes(&[VERSION]);
        fields
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= AT_ONCE {
            self.content.update(&self.bytes);
            self.bytes.clear();
        }
    }

    fn optional(&mut self, bytes: Option<&[u8]>) {
        self.count(usize::from(bytes.is_some()));
        if let Some(bytes) = bytes {
            self.bytes(bytes);
        }
    }

    fn count(&mut self, count: usize) {
        self.bytes.extend_from_slice(&(count as u64).to_le_bytes());
    }

    fn finish(mut self) -> Digest {
        self.content.update(&self.bytes);
        self.content.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn file(path: &str, content: &str, executable: bool) -> Entry {
        Entry { path: path.into(), kind: Kind::File { executable, content: Content::of(content.as_bytes()) } }
    }

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry { path: path.into(), kind }
    }

    #[test]
    fn every_difference_that_a_build_could_see_gives_another_tree() {
        let trees: Vec<Vec<Entry>> = vec![
            vec![],
            vec![file("a", "", false)],
            vec![file("a", "x", false)],
            vec![file("a", "x", true)],
            vec![file("b", "x", false)],
            vec![file("a", "x", false), file("b", "", false)],
            vec![file("a", "", false), file("b", "x", false)],
            vec![entry("a", Kind::Directory)],
            vec![entry("a", Kind::Directory), file("a/b", "", false)],
            vec![entry("a", Kind::Symlink("x".into()))],
            vec![entry("a", Kind::Symlink("y".into()))],
            vec![entry("a", Kind::Special)],
            vec![file("ab", "", false), file("c", "", false)],
            vec![file("a", "", false), file("bc", "", false)],
        ];
        let digests: BTreeSet<Digest> = trees.iter().map(|it| of_tree(it)).collect();
        assert_eq!(digests.len(), trees.len());
    }

    #[test]
    fn the_order_of_finding_does_not_matter() {
        let (a, b) = (file("a", "1", false), file("b", "2", true));
        assert_eq!(of_tree(&[a.clone(), b.clone()]), of_tree(&[b, a]));
    }

    #[test]
    fn every_input_gives_another_tag() {
        let base = Inputs::default();
        let strings = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let map = |it: &[(&str, &str)]| it.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let variants = vec![
            base.clone(),
            Inputs { context: [1; 32], ..base.clone() },
            Inputs { dockerfile: [1; 32], ..base.clone() },
            Inputs { ignore_file: Some([0; 32]), ..base.clone() },
            Inputs { named_contexts: [("a".to_owned(), [0; 32])].into(), ..base.clone() },
            Inputs { build_args: map(&[("A", "BC")]), ..base.clone() },
            Inputs { build_args: map(&[("AB", "C")]), ..base.clone() },
            Inputs { build_args: map(&[("A", ""), ("B", "C")]), ..base.clone() },
            Inputs { target: Some(String::new()), ..base.clone() },
            Inputs { target: Some("runtime".to_owned()), ..base.clone() },
            Inputs { options: strings(&["a"]), ..base.clone() },
            Inputs { secrets: strings(&["a"]), ..base.clone() },
            Inputs { options: strings(&["a", "b"]), ..base.clone() },
            Inputs { options: strings(&["b", "a"]), ..base.clone() },
            Inputs { options: strings(&["ab"]), ..base.clone() },
            Inputs { options: strings(&["a"]), secrets: strings(&["b"]), ..base.clone() },
        ];
        let mut tags: BTreeSet<String> = variants.iter().map(|it| tag(it, "linux/amd64")).collect();
        tags.insert(tag(&base, "linux/arm64"));
        assert_eq!(tags.len(), variants.len() + 1);
        assert!(tags.iter().all(|it| it.len() == 46 && it.starts_with("xtask-")));
    }

    #[test]
    fn the_tag_of_known_inputs_never_changes() {
        // A change here makes every image of every user be built again: raise VERSION and say so in the changelog.
        let inputs = Inputs {
            context: of_tree(&[file("bin/run", "#!/bin/sh\n", true), entry("bin", Kind::Directory)]),
            dockerfile: Content::of(b"FROM scratch\n"),
            build_args: [("RUBY_VERSION".to_owned(), "3.4".to_owned())].into(),
            ..Inputs::default()
        };
        assert_eq!(tag(&inputs, "linux/amd64"), "xtask-508a15a9e7dc83c861040b44d3a5cb43cc25b32b");
    }
}
