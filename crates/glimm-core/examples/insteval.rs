use glimm_core::design::*; use glimm_core::{family,structure}; use glimm_core::objective::lmm::Lmm; use glimm_core::objective::*; use glimm_core::optim::*;
use std::time::Instant;
fn main(){
  let bytes=std::fs::read("/tmp/insteval.bin").unwrap();
  let v:Vec<f64>=bytes.chunks_exact(8).map(|b|f64::from_le_bytes(b.try_into().unwrap())).collect();
  let n=v.len()/5; let col=|j:usize|(0..n).map(|i|v[i*5+j]).collect::<Vec<f64>>();
  let term=|j:usize|{let c:Vec<u32>=col(j).iter().map(|x|*x as u32).collect(); let levels=*c.iter().max().unwrap() as usize+1; Term{codes:c,levels,columns:vec![Column::One],predictor:0,structure:structure::lookup("us",1).unwrap()}};
  let mut y=col(0); let m=y.iter().sum::<f64>()/n as f64; y.iter_mut().for_each(|y|*y-=m);
  let data=Data{family:family::lookup("gaussian",None).unwrap(),y,size:None,freq:None,predictors:vec![Predictor{columns:vec![Column::One,Column::new(col(1))],offset:None},Predictor{columns:vec![Column::One],offset:None}],terms:vec![term(2),term(3),term(4)]};
  for reml in [false,true]{
  let t=Instant::now(); let mut l=Lmm::new(&data,reml).unwrap(); println!("new {:?}",t.elapsed());
  let t=Instant::now(); let start=l.start(); println!("start {:?} {start:?}",t.elapsed());
  for order in [Order::Gradient,Order::Hessian,Order::Gradient,Order::Hessian]{ let t=Instant::now(); let e=l.evaluate(&start,order,1.0).unwrap(); println!("{} {:?}",order==Order::Hessian,t.elapsed()); let _=e; }
  let settings=Settings{curvature:Curvature::Exact,tolerance:1e-8,inner_tolerance:1.0,max_iterations:60,reach:vec![f64::INFINITY;3]};
  let t=Instant::now();
  let o=maximise(&mut glimm_core::objective::lmm::Averaged(&mut l),&start,settings,&mut|i,v,d|{println!("{i} {v:.6} {d:e}");true});
  println!("{:?} {:?} {} {}",o.psi,o.reason,o.evaluations,t.elapsed().as_secs_f64());
  }
}
