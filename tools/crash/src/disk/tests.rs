use super::*;

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

/// A disk with a synced file "a" of ten bytes in the root.
fn with_file(seed: u64) -> (Disk, Ino) {
    let mut disk = Disk::new(seed);
    let ino = disk.create(ROOT, name("a"), false).unwrap();
    disk.write(ino, 0, b"0123456789").unwrap();
    disk.sync(ino, None).unwrap();
    disk.sync(ROOT, None).unwrap();
    (disk, ino)
}

fn after_loss(disk: &mut Disk) -> Vec<String> {
    disk.cut_power();
    disk.power_up();
    disk.list(ROOT).unwrap().into_iter().map(|(name, _)| name.into_string().unwrap()).collect()
}

#[test]
fn a_file_is_there_after_its_data_and_its_directory_were_synced() {
    for seed in 0..100 {
        let (mut disk, ino) = with_file(seed);
        assert_eq!(disk.unsynced(), 0);
        assert_eq!(after_loss(&mut disk), ["a"]);
        assert_eq!(disk.read(ino, 0, 100).unwrap(), b"0123456789");
    }
}

#[test]
fn a_name_without_a_sync_of_its_directory_may_be_lost_with_its_data() {
    let there = (0..100).filter(|&seed| {
        let mut disk = Disk::new(seed);
        let ino = disk.create(ROOT, name("a"), false).unwrap();
        disk.write(ino, 0, b"x").unwrap();
        disk.sync(ino, None).unwrap();
        let names = after_loss(&mut disk);
        assert!(names.is_empty() || disk.read(ino, 0, 1).unwrap() == b"x");
        !names.is_empty()
    });
    let there = there.count();
    assert!((20..95).contains(&there), "{there} of 100");
}

#[test]
fn a_rename_is_whole_or_not_at_all_and_does_not_wait_for_the_data() {
    let (mut old, mut new, mut empty) = (0, 0, 0);
    for seed in 0..200 {
        let (mut disk, _) = with_file(seed);
        let temporary = disk.create(ROOT, name("t"), false).unwrap();
        disk.sync(ROOT, None).unwrap();
        disk.write(temporary, 0, b"new").unwrap();
        disk.rename((ROOT, name("t")), (ROOT, name("a"))).unwrap();
        let names = after_loss(&mut disk);
        let content = disk.read(disk.lookup(ROOT, name("a")).unwrap(), 0, 100).unwrap();
        match (names.len(), content.as_slice()) {
            (2, b"0123456789") => old += 1,
            (1, b"new") => new += 1,
            (1, b"") => empty += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(old > 20 && new > 20 && empty > 10, "{old} {new} {empty}");
}

#[test]
fn operations_of_a_directory_survive_in_their_order() {
    for seed in 0..200 {
        let mut disk = Disk::new(seed);
        for n in 0..9 {
            disk.create(ROOT, name(&n.to_string()), false).unwrap();
        }
        let names = after_loss(&mut disk);
        assert!(names.iter().enumerate().all(|(n, name)| *name == n.to_string()), "{names:?}");
    }
}

#[test]
fn a_removed_file_comes_back_whole_if_its_removal_was_not_synced() {
    let mut back = 0;
    for seed in 0..100 {
        let (mut disk, ino) = with_file(seed);
        disk.remove(ROOT, name("a"), false).unwrap();
        let other = disk.create(ROOT, name("d"), true).unwrap();
        disk.sync(other, None).unwrap();
        if after_loss(&mut disk).contains(&"a".to_owned()) {
            back += 1;
            assert_eq!(disk.read(ino, 0, 100).unwrap(), b"0123456789");
        }
    }
    assert!(back > 10);
}

#[test]
fn a_sync_of_one_directory_says_nothing_about_another() {
    let mut lost = 0;
    for seed in 0..100 {
        let mut disk = Disk::new(seed);
        let directory = disk.create(ROOT, name("d"), true).unwrap();
        disk.sync(ROOT, None).unwrap();
        disk.create(directory, name("f"), false).unwrap();
        disk.sync(ROOT, None).unwrap();
        after_loss(&mut disk);
        lost += usize::from(disk.list(directory).unwrap().is_empty());
    }
    assert!(lost > 10);
}

#[test]
fn an_open_file_without_a_name_is_read_until_it_is_closed() {
    let (mut disk, ino) = with_file(1);
    let descriptor = disk.opened(ino);
    disk.remove(ROOT, name("a"), false).unwrap();
    disk.sync(ROOT, None).unwrap();
    assert_eq!(disk.read(ino, 0, 1).unwrap(), b"0");
    disk.closed(descriptor);
    disk.sync(ROOT, None).unwrap();
    assert_eq!(disk.read(ino, 0, 1), Err(DiskError::NotFound));
}

#[test]
fn a_failed_sync_is_told_once_to_everybody_who_has_the_file_open() {
    let (mut disk, ino) = with_file(1);
    let [one, other] = [disk.opened(ino), disk.opened(ino)];
    disk.faults.sync = Some(1);
    assert_eq!(disk.sync(ino, Some(one)), Err(DiskError::Io));
    let late = disk.opened(ino);
    assert_eq!(disk.sync(ino, Some(one)), Ok(()));
    assert_eq!(disk.sync(ino, Some(other)), Err(DiskError::Io));
    assert_eq!([disk.sync(ino, Some(other)), disk.sync(ino, Some(late))], [Ok(()), Ok(())]);
    assert_eq!(disk.faults.fired, [Fired::Sync("a".into())], "it is one failure");
}

#[test]
fn space_is_counted_and_given_back() {
    let mut disk = Disk::new(1);
    disk.faults.space_bytes = Some(2 * BLOCK_BYTES);
    let ino = disk.create(ROOT, name("a"), false).unwrap();
    disk.set_len(ino, 1 << 30).unwrap();
    disk.write(ino, 0, &[1; BLOCK_BYTES as usize + 1]).unwrap();
    assert_eq!(disk.write(ino, 1 << 20, b"x"), Err(DiskError::NoSpace));
    assert_eq!(disk.write(ino, 5, b"x"), Ok(()), "there is a block already");
    disk.set_len(ino, 1).unwrap();
    assert_eq!(disk.write(ino, 1 << 20, b"x"), Ok(()));
    assert_eq!(disk.used_bytes(), 2 * BLOCK_BYTES);
    assert_eq!(disk.faults.fired, [Fired::Write]);
}

#[test]
fn without_power_nothing_works_and_nothing_changes() {
    let (mut disk, ino) = with_file(3);
    disk.cut_power();
    assert_eq!(disk.write(ino, 0, b"x"), Err(DiskError::Io));
    assert_eq!(disk.sync(ino, None), Err(DiskError::Io));
    assert_eq!(disk.create(ROOT, name("b"), false), Err(DiskError::Io));
    assert_eq!(disk.read(ino, 0, 1), Err(DiskError::Io));
    disk.power_up();
    assert_eq!(disk.read(ino, 0, 100).unwrap(), b"0123456789");
}

#[test]
fn names_are_what_they_are() {
    let mut disk = Disk::new(1);
    let directory = disk.create(ROOT, name("d"), true).unwrap();
    disk.create(directory, name("f"), false).unwrap();
    assert_eq!(disk.create(ROOT, name("d"), false), Err(DiskError::Exists));
    assert_eq!(disk.remove(ROOT, name("d"), true), Err(DiskError::NotEmpty));
    assert_eq!(disk.remove(ROOT, name("d"), false), Err(DiskError::WrongKind));
    assert_eq!(disk.remove(ROOT, name("x"), false), Err(DiskError::NotFound));
    disk.rename((directory, name("f")), (ROOT, name("g"))).unwrap();
    assert_eq!(disk.remove(ROOT, name("d"), true), Ok(()));
    assert_eq!(disk.list(ROOT).unwrap().len(), 1);
}
