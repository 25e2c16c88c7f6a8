//! The order of elimination: little fill, and every subtree contiguous.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::sparse::SymbolicSparseColMatRef;
use faer::sparse::linalg::amd;
use faer::sparse::linalg::cholesky::simplicial;
use faer::sparse::linalg::cholesky::supernodal::{self, SymbolicSupernodalCholesky};

use super::error::SparseError;

/// Lower triangle by columns, as the caller gave it.
#[derive(Clone, Copy)]
pub struct Pattern<'a> {
    pub n: usize,
    pub col_ptr: &'a [usize],
    pub row_idx: &'a [usize],
}

/// Upper triangle by columns, after permutation; rows in no special order.
pub struct Upper {
    pub col_ptr: Vec<usize>,
    pub row_idx: Vec<usize>,
}

/// Parent of each column in the elimination tree (negative: none), and entries in each column of L.
struct Tree {
    parent: Vec<isize>,
    counts: Vec<usize>,
}

impl<'a> Pattern<'a> {
    pub fn checked(n: usize, col_ptr: &'a [usize], row_idx: &'a [usize]) -> Result<Self, SparseError> {
        let pointers = |at| Err(SparseError::ColumnPointers { n, at });
        if col_ptr.len() != n + 1 {
            return pointers(col_ptr.len().min(n + 1));
        }
        if col_ptr[0] != 0 || col_ptr[n] != row_idx.len() {
            return pointers(if col_ptr[0] != 0 { 0 } else { n });
        }
        if let Some(at) = (0..n).find(|&j| col_ptr[j + 1] < col_ptr[j]) {
            return pointers(at + 1);
        }
        let pattern = Self { n, col_ptr, row_idx };
        (0..n).try_for_each(|column| pattern.check_column(column))?;
        Ok(pattern)
    }

    fn check_column(&self, column: usize) -> Result<(), SparseError> {
        let rows = self.rows(column);
        if rows.first() != Some(&column) {
            return Err(SparseError::Diagonal { column, first_row: rows.first().copied() });
        }
        for pair in rows.windows(2) {
            let (previous, row) = (pair[0], pair[1]);
            if row <= previous {
                return Err(SparseError::RowOrder { column, previous, row });
            }
        }
        match rows.last() {
            Some(&row) if row >= self.n => Err(SparseError::RowRange { column, row, n: self.n }),
            _ => Ok(()),
        }
    }

    pub fn rows(&self, column: usize) -> &'a [usize] {
        &self.row_idx[self.col_ptr[column]..self.col_ptr[column + 1]]
    }

    /// Row and column of each entry, in the order of the values.
    pub fn entries(&self) -> impl Iterator<Item = (usize, usize)> + 'a {
        let pattern = *self;
        (0..pattern.n).flat_map(move |j| pattern.rows(j).iter().map(move |&i| (i, j)))
    }

    /// The pattern with column `j` moved to `place[j]`.
    pub fn permuted(&self, place: &[usize]) -> Upper {
        let ends = |(i, j): (usize, usize)| {
            let (a, b) = (place[i], place[j]);
            (a.min(b), a.max(b))
        };
        let mut col_ptr = vec![0; self.n + 1];
        for (_, column) in self.entries().map(ends) {
            col_ptr[column + 1] += 1;
        }
        for j in 0..self.n {
            col_ptr[j + 1] += col_ptr[j];
        }
        let mut next = col_ptr.clone();
        let mut row_idx = vec![0; self.row_idx.len()];
        for (row, column) in self.entries().map(ends) {
            row_idx[next[column]] = row;
            next[column] += 1;
        }
        Upper { col_ptr, row_idx }
    }
}

impl Upper {
    pub fn symbolic(&self) -> SymbolicSparseColMatRef<'_, usize> {
        let n = self.col_ptr.len() - 1;
        SymbolicSparseColMatRef::new_unsorted_checked(n, n, &self.col_ptr, None, &self.row_idx)
    }

    fn tree(&self) -> Tree {
        let n = self.col_ptr.len() - 1;
        let mut tree = Tree { parent: vec![0; n], counts: vec![0; n] };
        self.grow(&mut tree);
        tree
    }

    fn grow<'a>(&self, tree: &'a mut Tree) -> (simplicial::EliminationTreeRef<'a, usize>, &'a [usize]) {
        let n = self.col_ptr.len() - 1;
        let need = simplicial::prefactorize_symbolic_cholesky_scratch::<usize>(n, self.row_idx.len());
        let mut memory = MemBuffer::new(need);
        let parents = simplicial::prefactorize_symbolic_cholesky(
            &mut tree.parent,
            &mut tree.counts,
            self.symbolic(),
            MemStack::new(&mut memory),
        );
        (parents, &tree.counts)
    }

    /// Supernodes of the factor, or nothing if it is too large.
    pub fn supernodes(&self) -> Option<SymbolicSupernodalCholesky<usize>> {
        let n = self.col_ptr.len() - 1;
        let mut tree = Tree { parent: vec![0; n], counts: vec![0; n] };
        let (parents, counts) = self.grow(&mut tree);
        let need = supernodal::factorize_supernodal_symbolic_cholesky_scratch::<usize>(n);
        let mut memory = MemBuffer::try_new(need).ok()?;
        let stack = MemStack::new(&mut memory);
        let params = Default::default();
        supernodal::factorize_supernodal_symbolic_cholesky(self.symbolic(), parents, counts, stack, params).ok()
    }
}

/// `order[k]` is the caller's column at place `k`: approximate minimum degree, then a postorder. None where the
/// factorisation would take more than `most` multiplications, about.
pub fn elimination_order(pattern: &Pattern<'_>, most: f64) -> Result<Option<Vec<usize>>, SparseError> {
    let (order, multiplications) = minimum_degree(pattern)?;
    if multiplications > most {
        return Ok(None);
    }
    let tree = pattern.permuted(&inverse(&order)).tree();
    Ok(Some(postorder(&tree).into_iter().map(|k| order[k]).collect()))
}

/// The order, and an upper bound of the multiplications of a factorisation.
pub fn minimum_degree(pattern: &Pattern<'_>) -> Result<(Vec<usize>, f64), SparseError> {
    let (n, nonzeros) = (pattern.n, pattern.row_idx.len());
    let too_large = SparseError::TooLarge { n, nonzeros };
    let mut memory = MemBuffer::try_new(amd::order_scratch::<usize>(n, nonzeros)).map_err(|_| too_large.clone())?;
    let (mut order, mut place) = (vec![0; n], vec![0; n]);
    let lower = SymbolicSparseColMatRef::new_checked(n, n, pattern.col_ptr, None, pattern.row_idx);
    let control = amd::Control::default();
    let stack = MemStack::new(&mut memory);
    let count = amd::order(&mut order, &mut place, lower, control, stack).map_err(|_| too_large)?;
    Ok((order, count.n_mult_subs_ldl))
}

pub fn inverse(order: &[usize]) -> Vec<usize> {
    let mut place = vec![0; order.len()];
    for (k, &column) in order.iter().enumerate() {
        place[column] = k;
    }
    place
}

/// Children before parents. The child with the longest column comes last, next to its parent, so
/// that both can join one supernode.
fn postorder(tree: &Tree) -> Vec<usize> {
    let n = tree.parent.len();
    let mut by_count: Vec<usize> = (0..n).collect();
    by_count.sort_by_key(|&j| tree.counts[j]);
    // Linked lists of children; place n holds the roots.
    let (mut head, mut next) = (vec![usize::MAX; n + 1], vec![usize::MAX; n]);
    for &j in by_count.iter().rev() {
        let parent = usize::try_from(tree.parent[j]).unwrap_or(n);
        next[j] = std::mem::replace(&mut head[parent], j);
    }
    let (mut post, mut path) = (Vec::with_capacity(n), vec![n]);
    while let Some(&top) = path.last() {
        let child = head[top];
        if child == usize::MAX {
            path.pop();
            post.extend((top < n).then_some(top));
        } else {
            head[top] = next[child];
            path.push(child);
        }
    }
    post
}
