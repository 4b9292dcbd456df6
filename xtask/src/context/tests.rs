//! Reading real folders: what counts, what does not, and what is said where something is wrong.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::{Duration, SystemTime};

use super::*;
use crate::error::ErrorKind;
use crate::model::{Origin, Sourced, Span};

/// A folder of its own, removed at the end.
pub(super) struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("xtask-context-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    pub fn write(&self, path: &str, text: &str) -> &Folder {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn sourced(value: &str, start: usize) -> Sourced<String> {
    Sourced::new(
        value.to_owned(),
        Origin::File { key: "images.app.x".to_owned(), span: Span { start, end: start + value.len() } },
    )
}

pub(super) fn spec(context: &str) -> ImageSpec {
    ImageSpec {
        name: "app".to_owned(),
        context: sourced(context, 10),
        dockerfile: None,
        target: None,
        build_args: BTreeMap::new(),
        build_secrets: Vec::new(),
        build_options: Vec::new(),
        prepare: None,
        repository: None,
        registry: None,
        registry_profile: None,
        create_repository: false,
    }
}

fn tag(root: &Path, spec: &ImageSpec) -> String {
    let contents = read(root, spec, None, &AtomicBool::new(false)).unwrap();
    fingerprint::tag(&contents.inputs, "linux/amd64")
}

pub(super) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_tag_changes_with_what_docker_would_send_and_with_nothing_else() {
    let folder = Folder::new("tag");
    folder.write("Dockerfile", "FROM scratch\nCOPY . /\n").write("src/a", "1").write("logs/x.log", "1");
    folder.write(".dockerignore", "logs\n");
    symlink("a", folder.0.join("src/link")).unwrap();
    let root = &folder.0;
    let app = spec(".");
    let first = tag(root, &app);

    // Does not count: times, the group's and others' bits, ignored files, sockets.
    let long_ago = SystemTime::now() - Duration::from_secs(100_000);
    File::options().write(true).open(root.join("src/a")).unwrap().set_modified(long_ago).unwrap();
    mode(&root.join("src/a"), 0o600);
    mode(&root.join("src"), 0o700);
    folder.write("logs/y.log", "2");
    let socket = UnixListener::bind(root.join("src/socket")).unwrap();
    assert_eq!(tag(root, &app), first);
    drop(socket);

    // The same tree elsewhere, reached through a link, with the files made in another order.
    let other = Folder::new("tag-other");
    other.write("app/logs/z", "3").write("app/.dockerignore", "logs\n").write("app/src/a", "1");
    symlink("a", other.0.join("app/src/link")).unwrap();
    other.write("app/Dockerfile", "FROM scratch\nCOPY . /\n");
    symlink("app", other.0.join("linked")).unwrap();
    assert_eq!(tag(&other.0, &spec("linked")), first);

    // A Dockerfile outside the context counts by what is in it.
    let outside = ImageSpec { dockerfile: Some(sourced("outside", 30)), ..spec("app") };
    other.write("outside", "FROM scratch\nCOPY . /\n");
    assert_eq!(tag(&other.0, &outside), first);
    other.write("outside", "FROM scratch\nCOPY src /\n");
    assert_ne!(tag(&other.0, &outside), first);

    // Counts, each by itself.
    let mut tags = vec![first.clone()];
    let mut differs = |what: &str, spec: &ImageSpec| {
        let now = tag(root, spec);
        assert!(!tags.contains(&now), "{what}");
        tags.push(now);
    };
    mode(&root.join("src/a"), 0o755);
    differs("the executable bit", &app);
    mode(&root.join("src/a"), 0o644);
    folder.write("src/a", "2");
    differs("content", &app);
    folder.write("src/a", "1");
    fs::create_dir(root.join("empty")).unwrap();
    differs("an empty directory", &app);
    fs::remove_dir(root.join("empty")).unwrap();
    fs::remove_file(root.join("src/link")).unwrap();
    symlink("b", root.join("src/link")).unwrap();
    differs("a link's target", &app);
    fs::remove_file(root.join("src/link")).unwrap();
    symlink("a", root.join("src/link")).unwrap();
    folder.write(".dockerignore", "logs\nDockerfile\n.dockerignore\n");
    differs("ignoring the Dockerfile", &app);
    folder.write("Dockerfile", "FROM scratch\nCOPY src /\n");
    differs("an ignored Dockerfile", &app);
    folder.write("Dockerfile", "FROM scratch\nCOPY . /\n").write(".dockerignore", "logs\n");
    assert_eq!(tag(root, &app), first);

    let build_context = |value: &str| ImageSpec { build_options: vec![sourced(value, 0)], ..app.clone() };
    differs("a named context", &build_context("--build-context=more=logs"));
    folder.write("logs/y.log", "3");
    differs("a file of a named context", &build_context("--build-context=more=logs"));
    differs("a named context that is an image", &build_context("--build-context=more=docker-image://alpine"));
}

#[test]
fn a_dockerfiles_own_ignore_file_wins_and_needs_buildkit() {
    let folder = Folder::new("own");
    folder.write("docker/web", "FROM scratch\n").write("docker/web.dockerignore", "a\n").write(".dockerignore", "b\n");
    folder.write("a", "").write("b", "");
    let web = ImageSpec { dockerfile: Some(sourced("docker/web", 30)), ..spec(".") };
    let located = locate(&folder.0, &web).unwrap();
    assert!(located.needs_buildkit);
    let text = fs::read(located.ignore_file.as_ref().unwrap()).unwrap();
    let found = walk(&located.folder, &rules(&located, &text).unwrap(), &AtomicBool::new(false)).unwrap();
    assert!(found.iter().any(|it| it.path == Path::new("b")) && !found.iter().any(|it| it.path == Path::new("a")));
}

#[test]
fn what_is_missing_or_cannot_be_used_is_told_at_its_place() {
    let folder = Folder::new("wrong");
    folder.write("app/x", "").write("file", "").write("ok/dockerfile", "FROM scratch\n").write("bad/Dockerfile", "");
    folder.write("bad/.dockerignore", "a\n[\n");
    let root = &folder.0;
    assert!(locate(root, &spec("ok")).unwrap().dockerfile.ends_with("ok/dockerfile"));
    let with = |dockerfile: &str| ImageSpec { dockerfile: Some(sourced(dockerfile, 30)), ..spec("app") };
    for (spec, message, start) in [
        (
            spec("nowhere"),
            format!("cannot open the context of image `app`, {}/nowhere: no such file or folder", root.display()),
            Some(10),
        ),
        (spec("file"), format!("the context of image `app`, {}/file, is not a folder", root.display()), Some(10)),
        (spec("-"), "the context of image `app` must be a folder, not `-`".to_owned(), Some(10)),
        (
            spec("https://h/x.git"),
            "the context of image `app` must be a folder, not `https://h/x.git`".to_owned(),
            Some(10),
        ),
        (spec("git@h:x"), "the context of image `app` must be a folder, not `git@h:x`".to_owned(), Some(10)),
        (
            spec("app"),
            format!("the Dockerfile of image `app`, {}/app/Dockerfile, does not exist", root.display()),
            Some(10),
        ),
        (
            with("app/nope"),
            format!("the Dockerfile of image `app`, {}/app/nope, does not exist", root.display()),
            Some(30),
        ),
        (with("app"), format!("the Dockerfile of image `app`, {}/app, is not a file", root.display()), Some(30)),
        (spec("bad"), format!("line 2 of {}/bad/.dockerignore is not a pattern: `[`", root.display()), None),
    ] {
        let error = read(root, &spec, None, &AtomicBool::new(false)).unwrap_err();
        assert_eq!((error.to_string(), error.kind), (message, ErrorKind::Refused));
        let problem = &error.problems[0];
        assert_eq!(problem.span.map(|it| it.start), start, "{error}");
        assert!(problem.hint.is_some() || problem.message.ends_with("not a folder"), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = Folder::new("unreadable");
    folder.write("Dockerfile", "").write("secret", "");
    // Root can read everything but a file that is gone: that is the other way to fail while reading.
    let gone = [Found { path: "gone".into(), kind: FoundKind::File { executable: false, stamp: Stamp::default() } }];
    let error = digest(&folder.0, &gone, &Cache::open(None, &folder.0), &AtomicBool::new(false)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot read {}/gone for the build context: no such file or folder", folder.0.display())
    );
    mode(&folder.0.join("secret"), 0);
    if File::open(folder.0.join("secret")).is_err() {
        let error = read(&folder.0, &spec("."), None, &AtomicBool::new(false)).unwrap_err();
        assert!(error.to_string().ends_with("secret for the build context: permission denied"), "{error}");
    }
}

#[test]
fn reading_ends_when_it_is_given_up() {
    let folder = Folder::new("given-up");
    folder.write("Dockerfile", "");
    assert!(read(&folder.0, &spec("."), None, &AtomicBool::new(true)).is_err());
}

#[test]
fn a_repository_of_git_in_the_context_is_worth_a_warning() {
    let folder = Folder::new("git");
    folder.write("Dockerfile", "").write(".git/HEAD", "");
    let warnings = |folder: &Folder| read(&folder.0, &spec("."), None, &AtomicBool::new(false)).unwrap().warnings;
    assert_eq!(warnings(&folder).len(), 1);
    folder.write(".dockerignore", ".git\n");
    assert_eq!(warnings(&folder), [""; 0]);
}
