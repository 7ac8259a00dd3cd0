//! What takes a bundle's place, when, and what becomes of it where it cannot.

use super::product::{Stages, adding, copy, fit_method, folder_of, good, scratch, square, wide};
use super::{UPDATED, content};
use gstanomaly::bundle::{BANK, Bundle, GRAPH, Staging, TensorData, read_manifest};
use gstanomaly::methods::fitting::update;
use safetensors::Dtype;
use std::path::Path;

#[test]
fn a_fit_that_ends_during_an_update_is_not_undone() {
    let few = folder_of(&(0..4).map(good).collect::<Vec<_>>());
    let new = folder_of(&[good(340)]);
    for (name, method) in UPDATED {
        let bundle = fit_method(method, &format!("late-{name}"), &[], Some(few.path())).unwrap();
        let mut fitted = false;
        let mut progress = Stages::new(|stage| {
            if !fitted && stage != "looking for what is new" {
                std::fs::remove_dir_all(&bundle).unwrap();
                copy(square(), &bundle);
                fitted = true;
            }
            false
        });
        let error = update(&bundle, &adding(new.path()), &mut progress).unwrap_err().to_string();
        assert!(fitted && error.contains("replaced meanwhile"), "{name}: {error}");
        assert!(content(&bundle) == content(square()), "{name}");
    }
}

/// What is opened is one of the two, never files of both.
#[test]
fn a_bundle_can_be_opened_while_it_is_replaced() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use std::sync::atomic::{AtomicBool, Ordering};

    let folder = scratch();
    let (bundle, other) = (folder.path().join("bundle"), folder.path().join("other"));
    copy(square(), &bundle);
    copy(wide(), &other);
    /// Ends the exchange, too, if what opens the bundles panics.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Long enough to open a bundle now and then, however slow the machine is.
            for pause in [1, 5, 20, 80, 320].into_iter().cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                renameat_with(CWD, &bundle, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(pause));
            }
        });
        let opened: Vec<_> = {
            let _done = Done(&done);
            (0..60)
                .map(|_| {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    Bundle::open(&bundle)
                })
                .collect()
        };
        let both = [("square", 64), ("wide", 128)];
        for opened in &opened {
            match opened {
                Ok(bundle) => {
                    let manifest = bundle.manifest();
                    assert!(both.contains(&(manifest.name.as_str(), manifest.input.width)), "{manifest:?}");
                }
                Err(e) => assert!(e.to_string().contains("replaced again and again"), "{e}"),
            }
        }
        assert!(opened.iter().any(Result::is_ok), "not one could be opened");
    });
}

#[test]
fn what_cannot_be_opened_takes_nobodys_place() {
    let folder = scratch();
    let bundle = folder.path().join("bundle");
    copy(square(), &bundle);
    let before = std::fs::read(bundle.join(BANK)).unwrap();
    let mut staging = Staging::new(&bundle).unwrap();
    staging.write_graph(b"a graph is not looked into before it runs").unwrap();
    let bytes = [0; 8];
    let tensor = TensorData { dtype: Dtype::F32, shape: vec![2], bytes: &bytes };
    staging.write_bank(&[("local_0".to_owned(), tensor)].into()).unwrap();
    let error = staging.commit(read_manifest(&bundle).unwrap(), None, None).unwrap_err().to_string();
    assert!(error.contains("cannot be opened as a bundle") && error.contains("local_0"), "{error}");
    assert!(std::fs::read(bundle.join(BANK)).unwrap() == before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_bundle_that_cannot_take_its_place_is_kept() {
    let folder = scratch();
    let target = folder.path().join("bundle");
    let mut staging = Staging::new(&target).unwrap();
    staging.write_graph(&std::fs::read(square().join(GRAPH)).unwrap()).unwrap();
    std::fs::copy(square().join(BANK), staging.bank()).unwrap();
    // Somebody else's, since the fit began.
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("thesis.txt"), "the only copy").unwrap();
    let error = staging.commit(read_manifest(square()).unwrap(), None, None).unwrap_err().to_string();
    assert!(error.contains("is not a bundle"), "{error}");
    let (kept, _) = error.split_once(": the new bundle is complete here").expect(&error);
    Bundle::open(Path::new(kept)).unwrap().verify_hashes().unwrap();
    assert!(target.join("thesis.txt").exists());
}
