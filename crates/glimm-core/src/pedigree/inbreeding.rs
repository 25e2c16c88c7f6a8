//! Inbreeding coefficients and Mendelian variances.
//!
//! With A = T D T' (Henderson 1976), T_ij the part of animal i that comes from its ancestor j, the inbreeding of an animal with
//! parents s and d is
//!
//! ```text
//! F = a(s, d) / 2,    a(s, d) = sum over ancestors j of T_sj D_j T_dj
//! D = 1/2 - (F_s + F_d) / 4,    with one parent 3/4 - F_s / 4, with none 1
//! ```
//!
//! (Meuwissen and Luo 1992). As Sargolzaei, Iwaisaki and Colleau (2005) do, the mates of one animal are taken together:
//! w_j = T_sj D_j is found once, upwards through the ancestors of s, and a(s, d) = f(d) for all its mates by
//! f(j) = w_j + f(sire of j) / 2 + f(dam of j) / 2, down from the founders. A generation needs those before it only, so that
//! its matings are shared among threads. Sargolzaei, M., Iwaisaki, H. and Colleau, J.-J. (2005). J. Anim. Breed. Genet.
//! 122, 325-331. Meuwissen, T. H. E. and Luo, Z. (1992). Genet. Sel. Evol. 24, 305-313.

use rayon::prelude::*;

use super::UNKNOWN;
use crate::control::Control;
use crate::error::Error;

/// Matings below which a generation is not shared among threads.
const FEW: usize = 256;
/// Mendelian variances from which an animal is taken for a copy of its parents.
const NONE_LEFT: f64 = 1e-12;

/// (inbreeding, Mendelian variance) of each animal.
pub fn inbreeding(parents: &[[u32; 2]], generation: &[u32], control: &Control) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let n = parents.len();
    let (mut f, mut d) = (vec![0.0; n], vec![1.0; n]);
    let mut work: Vec<Work> = Vec::new();
    for members in by_generation(generation) {
        if control.stopped() {
            return Err(Error::Interrupted);
        }
        let groups = matings(parents, &members);
        let found = of_groups(parents, &d, &members, &groups, &mut work);
        for (i, a) in found {
            f[i as usize] = 0.5 * a;
        }
        for &i in &members {
            let left = mendelian(&f, parents[i as usize]);
            if left < NONE_LEFT {
                let why = format!("animal {i} has no Mendelian variance left: its parents are fully inbred");
                return Err(Error::Degenerate { why });
            }
            d[i as usize] = left;
        }
    }
    Ok((f, d))
}

fn mendelian(f: &[f64], [s, d]: [u32; 2]) -> f64 {
    let lost = |p: u32| if p == UNKNOWN { 0.0 } else { 0.25 * (1.0 + f[p as usize]) };
    1.0 - lost(s) - lost(d)
}

/// Animals of each generation, the oldest first.
fn by_generation(generation: &[u32]) -> Vec<Vec<u32>> {
    let mut found = vec![Vec::new(); generation.iter().max().map_or(0, |&g| g as usize + 1)];
    generation.iter().enumerate().for_each(|(i, &g)| found[g as usize].push(i as u32));
    found
}

/// A parent and its mates: (parent, mate, animal), sorted; each slice has one parent.
type Mating = (u32, u32, u32);

/// Matings of two known parents, under the one of the two sides that has fewer.
fn matings(parents: &[[u32; 2]], members: &[u32]) -> Vec<Vec<Mating>> {
    let both: Vec<(u32, [u32; 2])> =
        members.iter().map(|&i| (i, parents[i as usize])).filter(|(_, p)| p[0] != UNKNOWN && p[1] != UNKNOWN).collect();
    let distinct = |side: usize| {
        let mut all: Vec<u32> = both.iter().map(|(_, p)| p[side]).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    };
    let side = usize::from(distinct(1) < distinct(0));
    let mut all: Vec<Mating> = both.iter().map(|(i, p)| (p[side], p[1 - side], *i)).collect();
    all.sort_unstable();
    all.chunk_by(|x, y| x.0 == y.0).map(<[Mating]>::to_vec).collect()
}

fn of_groups(
    parents: &[[u32; 2]],
    d: &[f64],
    members: &[u32],
    groups: &[Vec<Mating>],
    work: &mut Vec<Work>,
) -> Vec<(u32, f64)> {
    let threads = if members.len() < FEW { 1 } else { rayon::current_num_threads() };
    while work.len() < threads {
        work.push(Work::new(parents.len()));
    }
    // Each thread has every so-manieth parent; what it finds depends on nothing else.
    let share = |(k, work): (usize, &mut Work)| -> Vec<(u32, f64)> {
        groups.iter().skip(k).step_by(threads).flat_map(|group| work.relations(parents, d, group)).collect()
    };
    if threads == 1 {
        return share((0, &mut work[0]));
    }
    work[..threads].par_iter_mut().enumerate().map(share).collect::<Vec<_>>().concat()
}

/// Room for one parent and its mates; cleared after each.
struct Work {
    /// T_sj, then T_sj D_j.
    part: Vec<f64>,
    /// f of the ancestors of mates.
    down: Vec<f64>,
    above: Vec<bool>,
    seen: Vec<bool>,
}

impl Work {
    fn new(n: usize) -> Work {
        Work { part: vec![0.0; n], down: vec![0.0; n], above: vec![false; n], seen: vec![false; n] }
    }

    /// (animal, a(s, d)) of the matings of one parent.
    fn relations(&mut self, parents: &[[u32; 2]], d: &[f64], group: &[Mating]) -> Vec<(u32, f64)> {
        let up = ancestors(parents, &[group[0].0], &mut self.above);
        self.part[group[0].0 as usize] = 1.0;
        for &j in up.iter().rev() {
            let t = self.part[j as usize];
            parents[j as usize].iter().filter(|&&p| p != UNKNOWN).for_each(|&p| self.part[p as usize] += 0.5 * t);
            self.part[j as usize] = t * d[j as usize];
        }
        let mates: Vec<u32> = group.iter().map(|m| m.1).collect();
        let down = ancestors(parents, &mates, &mut self.seen);
        for &j in &down {
            let half = |p: u32| if p == UNKNOWN { 0.0 } else { 0.5 * self.down[p as usize] };
            let [s, m] = parents[j as usize];
            self.down[j as usize] = self.part[j as usize] + half(s) + half(m);
        }
        let found = group.iter().map(|&(_, mate, i)| (i, self.down[mate as usize])).collect();
        for &j in &up {
            (self.part[j as usize], self.above[j as usize]) = (0.0, false);
        }
        for &j in &down {
            (self.down[j as usize], self.seen[j as usize]) = (0.0, false);
        }
        found
    }
}

/// Animals and all their ancestors, parents first; `seen` is false before, true of them after.
fn ancestors(parents: &[[u32; 2]], of: &[u32], seen: &mut [bool]) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    let mut add = |i: u32, found: &mut Vec<u32>| {
        if i != UNKNOWN && !std::mem::replace(&mut seen[i as usize], true) {
            found.push(i);
        }
    };
    of.iter().for_each(|&i| add(i, &mut found));
    let mut at = 0;
    while at < found.len() {
        let [s, d] = parents[found[at] as usize];
        add(s, &mut found);
        add(d, &mut found);
        at += 1;
    }
    found.sort_unstable();
    found
}
