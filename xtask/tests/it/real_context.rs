//! Our view of a build context against docker's own: for each ignore file, what `COPY .` put into an image is what our walk finds.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use xtask::context::{self, FoundKind};
use xtask::model::{ImageSpec, Sourced};

/// Ignore files, and whether the classic builder sees less there than BuildKit: it looks into an ignored directory only for an exception
/// that starts with the directory's name.
const IGNORE_FILES: &[(&str, bool)] = &[
    ("", false),
    ("# a comment\n\n  \n #hash\n", false),
    ("a\n", false),
    ("/a/b\n", false),
    ("./a/b/\n", false),
    ("a//b/../c\n", false),
    ("\u{feff}a\n", false),
    ("a\r\ntop.log\r\n", false),
    ("*\n!a\n", false),
    ("*\n!a/b/deep.txt\n", false),
    ("*\n! a/b\n", false),
    ("a\n!a/b\n", false),
    ("a/b\n!a\n", false),
    ("a/*\n!a/b\n", false),
    ("!a\na\n", false),
    ("*.log\n", false),
    ("*/*.log\n", false),
    ("**/*.log\n", false),
    ("**/*.log\n!a/x.log\n", false),
    ("**.log\n", false),
    ("**/b\n", false),
    ("**b\n", false),
    ("a/**\n", false),
    ("a/**/deep.txt\n", false),
    ("a/**\n!a/b/**\n", false),
    ("**/b/**\n", false),
    ("a**\n", false),
    ("?\n", false),
    ("top.l?g\n", false),
    ("a?b\n", false),
    ("é*\n", false),
    ("[ac]\n", false),
    ("[^a]\n", false),
    ("a[^x]b\n", false),
    ("a[^x]b\n!a/b/deep.txt\n", false),
    ("[a-c]/x.log\n", false),
    ("[!a]\n", false),
    ("a/[*]\n", false),
    ("a/star\\*\n", false),
    ("a/\\star*\n", false),
    ("a.b\n", false),
    ("p+(q)|{r}$\n", false),
    ("Dockerfile\n.dockerignore\n", false),
    ("*\n!Dockerfile\n!c\n", false),
    ("link\ndangling\n", false),
    ("dirlink/x.log\n", false),
    ("*\n!**/deep.txt\n", true),
    ("*\n!?/x.log\n", true),
    ("a\n!*/b/deep.txt\n", true),
];

#[test]
fn the_walk_finds_what_docker_puts_into_an_image() {
    let Some(engine) = crate::real_publish::engine() else { return };
    let is_classic = !engine.has_buildx;
    let base = std::env::temp_dir().join(format!("xtask-real-context-{}", std::process::id()));
    let _ = fs::remove_dir_all(&base);
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let images = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((rules, classic_sees_less)) = IGNORE_FILES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let folder = base.join(format!("{:p}", rules.as_ptr()));
                    make_tree(&folder, rules);
                    let ours = our_view(&folder);
                    let (image, docker) = dockers_view(&folder);
                    images.lock().unwrap().push(image);
                    let same = if is_classic && *classic_sees_less {
                        docker.len() < ours.len() && docker.iter().all(|(path, it)| ours.get(path) == Some(it))
                    } else {
                        ours == docker
                    };
                    if !same {
                        let only = |a: &View, b: &View| {
                            a.iter()
                                .filter(|(path, it)| b.get(*path) != Some(it))
                                .map(|it| format!("{it:?}"))
                                .collect::<Vec<_>>()
                        };
                        let (ours, docker) = (only(&ours, &docker), only(&docker, &ours));
                        failures
                            .lock()
                            .unwrap()
                            .push(format!("{rules:?}: only ours {ours:?}, only docker's {docker:?}"));
                    }
                }
            });
        }
    });
    fs::remove_dir_all(&base).unwrap();
    let _ = docker().args(["rmi", "--force"]).args(images.into_inner().unwrap()).output();
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// By path: `d`, `f` and the content, `x` (executable) and the content, `l` and the target.
type View = BTreeMap<String, String>;

fn make_tree(folder: &Path, rules: &str) {
    for (path, mode) in [
        ("a/b/deep.txt", 0o644),
        ("a/b/run", 0o755),
        ("a/x.log", 0o600),
        ("a/star*", 0o644),
        ("a/starry", 0o644),
        ("a/c", 0o644),
        ("a/b.log/y", 0o644),
        ("a.b", 0o644),
        ("axb", 0o644),
        ("acb/x.log", 0o644),
        ("abc", 0o644),
        ("b/x.log", 0o644),
        ("b/.hidden/deep.txt", 0o644),
        ("c/b/z", 0o640),
        ("club", 0o644),
        ("top.log", 0o644),
        ("été", 0o644),
        ("#hash", 0o644),
        ("!bang", 0o644),
        ("p+(q)|{r}$", 0o644),
        ("with space", 0o644),
    ] {
        let file = folder.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("content of {path}")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir_all(folder.join("empty/emptier")).unwrap();
    symlink("a/x.log", folder.join("link")).unwrap();
    symlink("nowhere", folder.join("dangling")).unwrap();
    symlink("a", folder.join("dirlink")).unwrap();
    fs::write(folder.join("Dockerfile"), "FROM scratch\nWORKDIR /context\nCOPY . /context/\nCMD [\"x\"]\n").unwrap();
    if !rules.is_empty() {
        fs::write(folder.join(".dockerignore"), rules).unwrap();
    }
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
}

fn our_view(folder: &Path) -> View {
    let spec = ImageSpec {
        name: "test".to_owned(),
        context: Sourced::default(".".to_owned()),
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
    };
    let located = context::locate(folder, &spec).unwrap();
    let text = located.ignore_file.as_ref().map(|it| fs::read(it).unwrap()).unwrap_or_default();
    let rules = context::rules(&located, &text).unwrap();
    let found = context::walk(&located.folder, &rules, &AtomicBool::new(false)).unwrap();
    let view = |it: context::Found| {
        let path = located.folder.join(&it.path);
        let what = match it.kind {
            FoundKind::Directory => "d".to_owned(),
            FoundKind::File { executable, .. } => {
                format!("{}{}", if executable { 'x' } else { 'f' }, fs::read_to_string(&path).unwrap())
            }
            FoundKind::Symlink => format!("l{}", fs::read_link(&path).unwrap().display()),
            FoundKind::Special => "s".to_owned(),
        };
        (it.path.to_string_lossy().into_owned(), what)
    };
    found.into_iter().map(view).collect()
}

/// The image as well: equal contexts give the same one, so it is removed when no other thread needs it.
fn dockers_view(folder: &Path) -> (String, View) {
    let image = run(docker().args(["build", "--quiet"]).arg(folder));
    let container = run(docker().args(["create", &image]));
    let archive = PathBuf::from(format!("{}.tar", folder.display()));
    run(docker().args(["export", "--output"]).arg(&archive).arg(&container));
    run(docker().args(["rm", &container]));
    let view = read_tar(&fs::read(archive).unwrap());
    (image, view)
}

#[expect(clippy::disallowed_methods, reason = "the rule is for the tool's own children")]
fn docker() -> Command {
    Command::new("docker")
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What an archive has below `context/`. Long and non-ASCII names come in a pax header before their entry.
fn read_tar(bytes: &[u8]) -> View {
    let text = |field: &[u8]| {
        let end = field.iter().position(|it| *it == 0).unwrap_or(field.len());
        String::from_utf8_lossy(&field[..end]).into_owned()
    };
    let octal = |field: &[u8]| u64::from_str_radix(text(field).trim(), 8).unwrap_or(0);
    let mut view = View::new();
    let mut pax = BTreeMap::new();
    let mut at = 0;
    while at + 512 <= bytes.len() && bytes[at] != 0 {
        let header = &bytes[at..at + 512];
        let size = octal(&header[124..136]) as usize;
        let data = &bytes[at + 512..at + 512 + size];
        at += 512 + size.div_ceil(512) * 512;
        let kind = header[156];
        if kind == b'x' {
            for record in String::from_utf8_lossy(data).lines() {
                let record = record.split_once(' ').map_or("", |it| it.1);
                if let Some((name, value)) = record.split_once('=') {
                    pax.insert(name.to_owned(), value.to_owned());
                }
            }
            continue;
        }
        let name = pax.remove("path").unwrap_or_else(|| text(&header[..100]));
        let target = pax.remove("linkpath").unwrap_or_else(|| text(&header[157..257]));
        pax.clear();
        let Some(path) = name.trim_end_matches('/').strip_prefix("context/") else { continue };
        let what = match kind {
            b'5' => "d".to_owned(),
            b'2' => format!("l{target}"),
            _ => format!(
                "{}{}",
                if octal(&header[100..108]) & 0o100 != 0 { 'x' } else { 'f' },
                String::from_utf8_lossy(data)
            ),
        };
        view.insert(path.to_owned(), what);
    }
    view
}
