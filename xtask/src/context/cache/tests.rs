//! Whatever happens to a context, what is known of it gives the hash that reading everything gives. That something is known at all is
//! seen by planting a lie in the cache: where the hash believes it, the file was not read.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::AtomicBool;

use super::*;
use crate::context::tests::{Folder, mode, sourced, spec};
use crate::context::{read, read_by};
use crate::fingerprint;
use crate::model::ImageSpec;

/// The clock of these tests goes ahead of the file system's, so that files count as settled at once.
const AHEAD: i128 = 60_000_000_000;

/// A context, its cache beside it, and a clock.
struct World {
    folder: Folder,
    context: PathBuf,
    store: PathBuf,
    ahead: i128,
    spec: ImageSpec,
}

impl World {
    fn new(name: &str) -> World {
        let folder = Folder::new(&format!("cache-{name}"));
        folder
            .write("context/Dockerfile", "FROM scratch\n")
            .write("context/src/a", "one")
            .write("context/src/b", "two");
        let root = fs::canonicalize(&folder.0).unwrap();
        World { context: root.join("context"), store: root.join("store"), folder, ahead: AHEAD, spec: spec("context") }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.context.join(path)
    }

    fn write(&self, path: &str, text: &str) {
        self.folder.write(&format!("context/{path}"), text);
    }

    fn tag(&self) -> String {
        let open = |folder: &Path| Cache::open_at(Some(&self.store), folder, now() + self.ahead);
        let contents = read_by(&self.folder.0, &self.spec, &open, &AtomicBool::new(false)).unwrap();
        fingerprint::tag(&contents.inputs, "linux/amd64")
    }

    /// With everything read.
    fn truth(&self) -> String {
        let contents = read(&self.folder.0, &self.spec, None, &AtomicBool::new(false)).unwrap();
        fingerprint::tag(&contents.inputs, "linux/amd64")
    }

    fn file(&self) -> Option<PathBuf> {
        let mut files = fs::read_dir(&self.store).ok()?.map(|it| it.unwrap().path());
        let file = files.next();
        assert!(files.next().is_none(), "nothing else is left in the store");
        file
    }

    /// The cache with a lie about this file in it.
    fn lie_about(&self, path: &str) {
        let file = self.file().unwrap();
        let mut bytes = fs::read(&file).unwrap();
        let inode = fs::symlink_metadata(self.path(path)).unwrap().ino().to_le_bytes();
        let end = bytes.len() - 32;
        let record = bytes[HEAD..end].chunks_exact_mut(RECORD).find(|it| it[..8] == inode).expect("it is known");
        record[STAMP..].fill(7);
        let sum = Content::of(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum);
        fs::write(file, bytes).unwrap();
    }

    fn knows(&self, path: &str) -> bool {
        let cache = Cache::open_at(Some(&self.store), &self.context, now() + self.ahead);
        cache.get(&Stamp::of(&fs::symlink_metadata(self.path(path)).unwrap())).is_some()
    }
}

/// Waits until the file system's clock has ticked, a few milliseconds.
fn tick(folder: &Path) {
    let path = folder.join("tick");
    let time = || {
        fs::write(&path, "").unwrap();
        Stamp::of(&fs::metadata(&path).unwrap()).changed
    };
    let start = time();
    while time() == start {
        std::thread::sleep(Duration::from_millis(1));
    }
    fs::remove_file(&path).unwrap();
}

fn set_modified(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn what_has_not_changed_is_not_read_again() {
    let world = World::new("unchanged");
    let truth = world.truth();
    assert_eq!(world.tag(), truth);
    assert_eq!(world.tag(), truth);
    assert!(["Dockerfile", "src/a", "src/b"].iter().all(|it| world.knows(it)));
    let written = fs::metadata(world.file().unwrap()).unwrap().ino();
    world.lie_about("src/a");
    assert_ne!(world.tag(), truth, "the lie was not believed");
    assert_eq!(fs::metadata(world.file().unwrap()).unwrap().ino(), written, "it was written again for nothing");
    // What else changes is found, and what is known of the rest stays.
    tick(&world.store);
    world.write("src/b", "2wo");
    world.tag();
    assert!(world.knows("src/a") && world.knows("src/b"));
    assert_ne!(world.tag(), world.truth(), "the lie was not believed");
}

#[test]
fn every_way_to_change_a_file_is_noticed() {
    type Edit = fn(&World);
    let edits: [(&str, Edit); 9] = [
        ("the same size, the time of modification set back", |world| {
            let path = world.path("src/a");
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            fs::write(&path, "eno").unwrap();
            set_modified(&path, modified);
        }),
        ("replaced by one of the same size and time", |world| {
            let (path, new) = (world.path("src/a"), world.path("new"));
            fs::write(&new, "eno").unwrap();
            set_modified(&new, fs::metadata(&path).unwrap().modified().unwrap());
            fs::rename(new, path).unwrap();
        }),
        ("removed and made again", |world| {
            fs::remove_file(world.path("src/a")).unwrap();
            world.write("src/a", "eno");
        }),
        ("executable", |world| mode(&world.path("src/a"), 0o755)),
        ("longer", |world| world.write("src/a", "one more")),
        ("empty", |world| world.write("src/a", "")),
        ("written through another name", |world| {
            fs::hard_link(world.path("src/a"), world.path("src/c")).unwrap();
            world.write("src/c", "eno");
        }),
        ("a link of symbols", |world| {
            fs::remove_file(world.path("src/a")).unwrap();
            symlink("b", world.path("src/a")).unwrap();
        }),
        ("a folder", |world| {
            fs::remove_file(world.path("src/a")).unwrap();
            world.write("src/a/c", "one");
        }),
    ];
    for (index, (what, edit)) in edits.into_iter().enumerate() {
        let world = World::new(&format!("edit-{index}"));
        let before = world.tag();
        world.lie_about("src/a");
        tick(&world.store);
        edit(&world);
        assert_ne!(world.truth(), before, "{what} counts");
        assert_eq!(world.tag(), world.truth(), "{what}");
    }
}

#[test]
fn a_file_that_moves_takes_what_is_known_along() {
    let world = World::new("moved");
    world.tag();
    tick(&world.store);
    fs::rename(world.path("src"), world.path("lib")).unwrap();
    world.write("src/a", "eno");
    fs::rename(world.path("Dockerfile"), world.path("dockerfile")).unwrap();
    assert_eq!(world.tag(), world.truth());
    assert_eq!(world.tag(), world.truth());
    fs::rename(world.path("lib/a"), world.path("lib/c")).unwrap();
    fs::rename(world.path("lib/b"), world.path("lib/a")).unwrap();
    fs::rename(world.path("lib/c"), world.path("lib/b")).unwrap();
    assert_eq!(world.tag(), world.truth());
}

#[test]
fn a_rule_of_dockerignore_or_a_folder_beside_it_counts_at_once() {
    let mut world = World::new("rules");
    world.tag();
    world.write(".dockerignore", "src/b\n");
    assert_eq!(world.tag(), world.truth());
    world.write("src/b", "ignored");
    assert_eq!(world.tag(), world.truth());
    world.write(".dockerignore", "");
    assert_eq!(world.tag(), world.truth());
    // A context of its own.
    world.folder.write("more/x", "1");
    world.spec.build_options = vec![sourced("--build-context=more=more", 0)];
    assert_eq!(world.tag(), world.truth());
    tick(&world.store);
    world.folder.write("more/x", "2");
    assert_eq!(world.tag(), world.truth());
}

#[test]
fn of_what_has_just_changed_nothing_is_kept() {
    for (what, ahead) in [("just now", 0), ("a second ago", 1_000_000_000), ("by a clock that is ahead", -AHEAD)] {
        let world = World { ahead, ..World::new("racy") };
        assert_eq!(world.tag(), world.truth());
        assert!(world.file().is_none() && !world.knows("src/a"), "{what}");
    }
    // Long ago by its own account, but not by the inode's.
    let world = World { ahead: 0, ..World::new("racy-back") };
    set_modified(&world.path("src/a"), SystemTime::now() - Duration::from_secs(3600));
    world.tag();
    assert!(!world.knows("src/a"));
    // From the future.
    let world = World::new("racy-future");
    set_modified(&world.path("src/a"), SystemTime::now() + Duration::from_secs(3600));
    world.tag();
    assert!(!world.knows("src/a") && world.knows("src/b"));
    // It changes while it is read.
    let cache = Cache::open_at(Some(&world.store), &world.context, now() + AHEAD);
    let stamp = |path: &str| Stamp::of(&fs::metadata(world.path(path)).unwrap());
    let before = stamp("src/b");
    assert!(cache.learn(before, before, [0; 32]).is_some());
    assert!(cache.learn(before, Stamp { changed: before.changed + 1, ..before }, [0; 32]).is_none());
    assert!(cache.learn(before, Stamp { size: 9, ..before }, [0; 32]).is_none());
    // Something is mounted there.
    let elsewhere = Stamp { device: before.device + 1, ..before };
    assert!(cache.learn(elsewhere, elsewhere, [0; 32]).is_none() && cache.get(&elsewhere).is_none());
}

#[test]
fn a_clock_that_jumps_back_makes_everything_be_read() {
    let mut world = World::new("clock");
    world.tag();
    world.lie_about("src/a");
    world.ahead = AHEAD / 2;
    assert_eq!(world.tag(), world.truth());
    // That was written at the earlier time, and is good from there on.
    assert!(world.knows("src/a"));
    world.ahead = AHEAD * 2;
    assert!(world.knows("src/a"));
}

#[test]
fn a_cache_that_is_broken_or_not_ours_is_none() {
    type Harm = fn(&World, &Path);
    let harms: [(&str, Harm); 9] = [
        ("a bit", |_, file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[HEAD + STAMP + 3] ^= 1;
            fs::write(file, bytes).unwrap();
        }),
        ("cut", |_, file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("a record less", |_, file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() - RECORD]).unwrap();
        }),
        ("empty", |_, file| fs::write(file, "").unwrap()),
        ("something else", |_, file| fs::write(file, [b'x'; 500]).unwrap()),
        ("of another version", |_, file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[14] = b'0';
            let end = bytes.len() - 32;
            let sum = Content::of(&bytes[..end]);
            bytes[end..].copy_from_slice(&sum);
            fs::write(file, bytes).unwrap();
        }),
        ("of another context", |world, file| {
            let other = Cache { context: [1; 32], ..Cache::open_at(Some(&world.store), &world.context, now() + AHEAD) };
            fs::write(file, other.bytes(&[], |_| true)).unwrap();
        }),
        ("writable for others", |_, file| mode(file, 0o666)),
        ("a link", |_, file| {
            let target = file.with_extension("target");
            fs::rename(file, &target).unwrap();
            symlink(target, file).unwrap();
        }),
    ];
    for (index, (what, harm)) in harms.into_iter().enumerate() {
        let world = World::new(&format!("broken-{index}"));
        world.tag();
        world.lie_about("src/a");
        let file = world.file().unwrap();
        harm(&world, &file);
        assert_eq!(world.tag(), world.truth(), "{what}");
        let metadata = fs::symlink_metadata(&file).unwrap();
        assert!(metadata.is_file() && metadata.permissions().mode().trailing_zeros() >= 7, "{what}");
        assert!(world.knows("src/a"), "{what}: a whole one takes its place");
    }
}

#[test]
fn where_there_is_no_place_for_it_everything_is_read() {
    // In the context, where it would be hashed itself.
    let world = World::new("inside");
    let world = World { store: world.path("cache/xtask"), ..world };
    assert_eq!((world.tag(), world.tag()), (world.truth(), world.truth()));
    assert!(!world.path("cache").exists());
    // There through a link, too.
    symlink(&world.context, world.folder.0.join("linked")).unwrap();
    let world = World { store: world.folder.0.join("linked/cache"), ..world };
    assert_eq!(world.tag(), world.truth());
    assert!(!world.path("cache").exists());
    // A file is where its folder should be.
    let world = World { store: world.path("Dockerfile/xtask"), ..world };
    assert_eq!(world.tag(), world.truth());
    world.folder.write("in-the-way", "");
    let world = World { store: world.folder.0.join("in-the-way"), ..world };
    assert_eq!(world.tag(), world.truth());
}

#[test]
fn two_images_of_one_context_forget_nothing_of_each_other_and_old_ones_are_removed() {
    let world = World::new("two");
    world.write(".dockerignore", "src/b\n");
    world.tag();
    world.write(".dockerignore", "src/a\n");
    world.tag();
    assert!(world.knows("src/a") && world.knows("src/b"));
    // Nobody has used this one for a month.
    let old = world.store.join("context-0123");
    fs::write(&old, "").unwrap();
    set_modified(&old, SystemTime::now() - FORGOTTEN * 2);
    tick(&world.folder.0);
    world.write("src/c", "new");
    world.tag();
    assert!(!old.exists());
    // One that is used without a change says so.
    let file = world.file().unwrap();
    set_modified(&file, SystemTime::now() - USED * 3);
    world.tag();
    assert!(fs::metadata(file).unwrap().modified().unwrap().elapsed().unwrap() < USED);
}

#[test]
fn what_is_gone_does_not_pile_up() {
    let world = World::new("pile");
    let inode = |n: u64| Stamp { inode: n, ..Stamp::of(&fs::metadata(world.path("src/a")).unwrap()) };
    let learnt = (0..5_000).map(|it| Learnt { stamp: inode(it), digest: [3; 32] }).collect();
    let open = || Cache::open_at(Some(&world.store), &world.context, now() + AHEAD);
    open().save(learnt, Vec::new());
    assert_eq!(open().inodes.len(), 5_000);
    open().save(vec![Learnt { stamp: inode(9_000), digest: [4; 32] }], vec![17, 5]);
    let cache = open();
    assert_eq!(cache.inodes, [5, 17, 9_000]);
    assert_eq!((cache.get(&inode(17)), cache.get(&inode(9_000))), (Some([3; 32]), Some([4; 32])));
}

#[test]
fn runs_side_by_side_leave_a_whole_cache() {
    let world = World::new("side");
    for index in 0..50 {
        world.write(&format!("many/{index}"), &index.to_string());
    }
    let truth = world.truth();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let _ = fs::remove_dir_all(world.store.join("none"));
                    if let Some(file) = fs::read_dir(&world.store).ok().and_then(|mut it| it.next()) {
                        let _ = fs::remove_file(file.unwrap().path());
                    }
                    assert_eq!(world.tag(), truth);
                }
            });
        }
    });
    assert_eq!(world.tag(), truth);
    assert!(world.file().is_some() && world.knows("many/49"));
}

/// Random edits, one after the other; after each one the cache must not have changed the hash.
#[test]
fn random_edits_never_make_a_difference() {
    for seed in 1..=3 {
        let mut world = World::new(&format!("random-{seed}"));
        let mut random = Random(seed);
        let mut tags = std::collections::BTreeSet::new();
        for step in 0..80 {
            let what = edit(&mut world, &mut random);
            assert_eq!(world.tag(), world.truth(), "seed {seed}, step {step}: {what}");
            tags.insert(world.truth());
            tick(&world.folder.0);
        }
        assert!(tags.len() > 20, "{}", tags.len());
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

fn edit(world: &mut World, random: &mut Random) -> String {
    let path = |random: &mut Random| format!("d{}/f{}", random.below(3), random.below(4));
    let (one, other) = (path(random), path(random));
    let (from, to) = (world.path(&one), world.path(&other));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let text = ["one", "two", "three", ""][random.below(4)];
    match random.below(11) {
        0..=2 if !from.is_symlink() => world.write(&one, text),
        3 if from.is_file() => {
            let modified = fs::metadata(&from).unwrap().modified().unwrap();
            let old = fs::read(&from).unwrap();
            fs::write(&from, old.iter().map(|it| it ^ 1).collect::<Vec<_>>()).unwrap();
            set_modified(&from, modified);
            return format!("{one} changed, its time set back");
        }
        4 => drop(fs::rename(&from, &to)),
        5 => drop(fs::remove_file(&from)),
        6 if from.is_file() => mode(&from, [0o644, 0o755][random.below(2)]),
        7 => drop(fs::hard_link(&from, &to)),
        8 if !to.exists() => drop(symlink("../src/a", &to)),
        9 => world.write(".dockerignore", ["", "d0\n", "d1/*\n!d1/f1\n", "**/f2\n"][random.below(4)]),
        10 => {
            // Back to before the last write of the cache, and ahead again.
            world.ahead = AHEAD + [0, AHEAD, 2 * AHEAD][random.below(3)];
            return format!("the clock is {} ns ahead", world.ahead);
        }
        _ => drop(fs::remove_dir_all(world.path("d2"))),
    }
    format!("{one}, {other}, {text:?}")
}
