// Every kind of instruction that we could make the compiler emit; the test compares our opcode decoder with nvdisasm on it. Never run.
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <mma.h>
#include <cstdio>
#include <cooperative_groups.h>
#include <cuda/barrier>
namespace cg = cooperative_groups;
using namespace nvcuda;
#define K extern "C" __global__ void
K f32(float*a,const float*b,int n){
  int i=threadIdx.x;
  float x=b[i];
  a[i]=sinf(x)+cosf(x)+expf(x)+logf(x)+powf(x,b[i+1])+tanf(x)+rsqrtf(x)+sqrtf(x)+1.f/x+fmodf(x,3.f)+erff(x)
      +tgammaf(x)+floorf(x)+rintf(x)+fminf(x,2.f)+fmaxf(x,b[3])+copysignf(x,b[2])+ldexpf(x,n)+frexpf(x,&n)+__sinf(x)
      +__expf(x)+__logf(x)+__fdividef(x,b[5])+tanhf(x)+isnan(x)+isinf(x)+__saturatef(x)+fabsf(x)+lgammaf(x)+cbrtf(x)
      +j0f(x)+__fsqrt_rn(x)+__frcp_ru(x)+truncf(x)+ceilf(x)+nextafterf(x,1.f);
}
K f64(double*a,const double*b,int n){
  int i=threadIdx.x;
  double x=b[i];
  a[i]=sin(x)+exp(x)+log(x)+pow(x,b[1])+sqrt(x)+1./x+fmin(x,2.)+fmax(x,b[2])+floor(x)+(x>1.?b[4]:b[3])+(double)n
      +(float)x+(long long)x+(unsigned)x+fma(x,x,b[7])+rint(x)+isnan(x);
}
K f16(__half2*a,const __half2*b){
  int i=threadIdx.x;
  __half2 x=b[i];
  a[i]=__hadd2(__hmul2(x,b[1]),__hfma2(x,x,b[2]));
  a[i+1]=__hmax2(x,b[3]);
  a[i+2]=__hmin2(x,b[4]);
  a[i+3]=h2exp(x);
  a[i+4]=h2log(x);
  a[i+5]=h2sqrt(x);
  a[i+6]=h2rcp(x);
  a[i+7]=__hgt2(x,b[5]);
  a[i+8]=__float22half2_rn(make_float2(b[6].x,3.f));
  if(__hbgt2(x,b[9]))a[i+9]=h2tanh(x);
  a[i+10]=__habs2(x);
  a[i+11]=__hneg2(x);
  a[i+12].x=__int2half_rn(i);
  a[i+13].x=__double2half(3.0*i);
  ((int*)a)[100]=__half2int_rn(x.x);
  a[i+14]=__hfma2_relu(x,x,b[8]);
  a[i+15]=h2floor(x);
}
K bf16(__nv_bfloat162*a,const __nv_bfloat162*b){
  int i=threadIdx.x;
  auto x=b[i];
  a[i]=__hadd2(__hmul2(x,b[1]),__hfma2(x,x,b[2]));
  a[i+1]=__hmax2(x,b[3]);
  a[i+2]=__floats2bfloat162_rn(__low2float(x),3.f);
  a[i+3]=__hgt2(x,b[5]);
  a[i+4]=__hmin2(x,b[4]);
  a[i+5]=h2exp(x);
}
K fp8(unsigned*a,const float*b,const __half2*h){
  int i=threadIdx.x;
  a[i]=__nv_cvt_float2_to_fp8x2(make_float2(b[i],b[i+1]),__NV_SATFINITE,__NV_E4M3);
  __half2_raw r=__nv_cvt_fp8x2_to_halfraw2(a[i+3],__NV_E5M2);
  a[i+1]=r.x;
  a[i+7]=__nv_cvt_float2_to_fp8x2(make_float2(b[i],b[i+1]),__NV_SATFINITE,__NV_E5M2);
}
K ints(unsigned*a,const unsigned*b,int n,unsigned long long*c,long long*d){
  int i=threadIdx.x;
  unsigned x=b[i],y=b[i+1];
  a[i]=x/y;
  a[i+1]=x%y;
  a[i+2]=__popc(x);
  a[i+3]=__clz(x);
  a[i+4]=__ffs(x);
  a[i+5]=__brev(x);
  a[i+6]=__byte_perm(x,y,n);
  a[i+7]=__funnelshift_l(x,y,n);
  a[i+8]=__umulhi(x,y);
  a[i+9]=__mulhi((int)x,(int)y);
  a[i+10]=__dp4a(x,y,7u);
  a[i+11]=__dp2a_lo((int)x,(int)y,3);
  a[i+12]=__sad(x,y,3);
  a[i+13]=min(x,y)+max((int)x,(int)y);
  a[i+14]=__vadd4(x,y);
  a[i+15]=__vabsdiffu4(x,y);
  a[i+16]=__vmaxs2(x,y);
  a[i+17]=__usad(x,y,1);
  a[i+18]=__vcmpgtu4(x,y);
  a[i+19]=abs((int)x);
  a[i+20]=x<<n;
  a[i+21]=(int)x>>n;
  c[i]=(unsigned long long)x*y+c[1]/c[2];
  d[i]=d[1]%d[2]+(d[3]>>n)+(d[4]<<n)+__popcll(d[5])+__clzll(d[6])+__umul64hi(c[4],c[5]);
  a[i+22]=__viaddmax_s32(x,y,n);
  a[i+23]=__vimax3_s32(x,y,n);
  a[i+24]=__vimin_s32_relu(x,y);
  a[i+25]=(x>y&&n>3)^(y>7||n<2);
  a[i+26]=__vavgu4(x,y);
  a[i+27]=__mul24(x,y);
  a[i+28]=(signed char)x;
  a[i+29]=(short)y;
}
K warp(unsigned*a,const unsigned*b,int n){
  int i=threadIdx.x;
  unsigned x=b[i];
  a[i]=__shfl_sync(~0u,x,n);
  a[i+1]=__shfl_xor_sync(~0u,x,1);
  a[i+2]=__ballot_sync(~0u,x>3);
  a[i+3]=__any_sync(~0u,x>n);
  a[i+4]=__match_any_sync(~0u,x);
  int p;
  a[i+5]=__match_all_sync(~0u,x,&p)+p;
  a[i+6]=__reduce_add_sync(~0u,x);
  a[i+7]=__reduce_max_sync(~0u,x);
  a[i+8]=__activemask();
  a[i+9]=clock()+clock64();
  a[i+10]=__syncthreads_count(x>2);
  a[i+11]=__syncthreads_or(x);
  __syncwarp();
  __threadfence();
  __threadfence_block();
  __threadfence_system();
  __nanosleep(100);
  a[i+12]=__reduce_or_sync(~0u,x)+__reduce_min_sync(0xffffu,x);
  unsigned s;
  asm volatile("mov.u32 %0,%%smid;":"=r"(s));
  a[i+13]=s;
  asm volatile("mov.u32 %0,%%laneid;":"=r"(s));
  a[i+14]=s;
  asm volatile("mov.u32 %0,%%lanemask_lt;":"=r"(s));
  a[i+15]=s+__popc(__ballot_sync(~0u,n>x)&s);
  asm volatile("mov.u32 %0,%%globaltimer_lo;":"=r"(s));
  a[i+16]=s;
  asm volatile("bar.sync 1, 64;");
  asm volatile("bar.arrive 2, 64;");
  if(__isShared(a)) a[0]=1;
  if(__isGlobal(b))a[1]=2;
  a[3]=__cvta_generic_to_shared(a);
}
K atom(int*g,float*f,double*d,unsigned long long*l,__half2*h,int*gen){
  __shared__ int s[64];
  __shared__ float sf[64];
  __shared__ unsigned long long sl[8];
  int i=threadIdx.x;
  s[i]=i;
  sf[i]=i;
  __syncthreads();
  int*p=(i&1)?s:gen;
  atomicAdd(p+3,1);
  gen[5]=atomicAdd(p+4,2);
  atomicAdd(g,1);
  g[1]=atomicAdd(g+2,3);
  atomicAdd(f,1.f);
  f[1]=atomicAdd(f+2,1.f);
  atomicAdd(d,1.0);
  d[3]=atomicAdd(d+1,1.);
  atomicAdd(h,h[3]);
  g[4]=atomicCAS(g+5,1,2);
  g[6]=atomicExch(g+7,4);
  g[8]=atomicMax(g+9,4);
  atomicMin(g+10,3);
  atomicAnd(g+11,3);
  l[0]=atomicCAS(l+1,2ull,3ull);
  l[4]=atomicAdd(l+5,1ull);
  atomicAdd(s+3,1);
  g[12]=atomicAdd(s+4,1);
  atomicAdd(sf+3,1.f);
  g[13]=atomicCAS(s+5,1,2);
  g[14]=atomicMax(s+6,7);
  l[7]=atomicAdd(sl+1,1ull);
  l[8]=atomicCAS(sl+2,1ull,2ull);
  g[15]=atomicInc((unsigned*)g+16,9);
  g[17]=atomicExch(s+9,1);
  p[7]=p[8]+1;
  gen[9]=atomicCAS(p+9,3,4);
  l[9]=atomicExch(sl+3,5ull);
  atomicAdd((double*)sl,1.);
}
K sw(int*a,const int*b,int n){
  int i=threadIdx.x,x=b[i];
  switch(x){
    case 0:x=b[1]*3;
    break;
    case 1:x=b[2]/7;
    break;
    case 2:x^=b[3];
    break;
    case 3:x=b[4]%5;
    break;
    case 4:x=b[5]-2;
    break;
    case 5:x+=b[6]<<3;
    break;
    case 6:x=__popc(b[7]);
    break;
    case 7:x=b[8]*b[9];
    break;
    case 8:x=b[10]|5;
    break;
    default:x=1;
  }
  a[i]=x;
  if(n<0)printf("%d %s",x,"hi");
  if(n==7)__trap();
  if(n==8)asm volatile("brkpt;");
}
K usw(int*a,const int*b,int n){
  int x=n;
  switch(n){
    case 0:x=b[1]*3;
    break;
    case 1:x=b[2]/7;
    break;
    case 2:x^=b[3];
    break;
    case 3:x=b[4]%5;
    break;
    case 4:x=b[5]-2;
    break;
    case 5:x+=b[6]<<3;
    break;
    case 6:x=__popc(b[7]);
    break;
    case 7:x=b[8]*b[9];
    break;
    case 8:x=b[10]|5;
    break;
    default:x=1;
  }
  a[threadIdx.x]=x+__popc(n)+__clz(n)+__brev(n)+min(n,3)+abs(n)*n;
}
typedef int(*fp)(int);__device__ __noinline__ int fa(int x){return x*3
      +1;}__device__ __noinline__ int fb(int x){return x^7;}__device__ fp tab[2]={fa,fb};
K call(int*a,int n){
  a[threadIdx.x]=tab[n&1](a[threadIdx.x])+fa(n);
}
K rec(int*a,int n){
  int loc[64];
  for(int i=0;i<64;i++)loc[i]=a[i];
  for(int i=0;i<n;i++)loc[(loc[i&63])&63]+=i;
  a[n]=loc[n&63];
}
K tex(float*o,cudaTextureObject_t t,cudaSurfaceObject_t s){
  int i=threadIdx.x;
  o[i]=tex2D<float>(t,i,i*.5f)+tex1Dfetch<float>(t,i)+tex3D<float>(t,i,1.f,2.f)+tex2DLod<float>(t,i,1.f,2.f)
      +tex2Dgather<float4>(t,i,1.f,0).x;
  float v;
  surf2Dread(&v,s,i*4,3);
  surf2Dwrite(v+1.f,s,i*4,5);
  o[i+1]=tex2DGrad<float>(t,1.f,i,make_float2(1,2),make_float2(3,4));
}
K wm(half*a,half*b,float*c,signed char*d,int*e,double*f,__nv_bfloat16*g,float*t){
  {
    wmma::fragment<wmma::matrix_a,16,16,16,half,wmma::row_major>A;
    wmma::fragment<wmma::matrix_b,16,16,16,half,wmma::col_major>B;
    wmma::fragment<wmma::accumulator,16,16,16,float>C;
    wmma::fill_fragment(C,0.f);
    wmma::load_matrix_sync(A,a,16);
    wmma::load_matrix_sync(B,b,16);
    wmma::mma_sync(C,A,B,C);
    wmma::store_matrix_sync(c,C,16,wmma::mem_row_major);
  }
{
  wmma::fragment<wmma::matrix_a,16,16,16,signed char,wmma::row_major>A;
  wmma::fragment<wmma::matrix_b,16,16,16,signed char,wmma::col_major>B;
  wmma::fragment<wmma::accumulator,16,16,16,int>C;
  wmma::fill_fragment(C,0);
  wmma::load_matrix_sync(A,d,16);
  wmma::load_matrix_sync(B,d,16);
  wmma::mma_sync(C,A,B,C);
  wmma::store_matrix_sync(e,C,16,wmma::mem_row_major);
}
{
  wmma::fragment<wmma::matrix_a,8,8,4,double,wmma::row_major>A;
  wmma::fragment<wmma::matrix_b,8,8,4,double,wmma::col_major>B;
  wmma::fragment<wmma::accumulator,8,8,4,double>C;
  wmma::fill_fragment(C,0.);
  wmma::load_matrix_sync(A,f,4);
  wmma::load_matrix_sync(B,f,4);
  wmma::mma_sync(C,A,B,C);
  wmma::store_matrix_sync(f,C,8,wmma::mem_row_major);
}
{
  wmma::fragment<wmma::matrix_a,16,16,8,wmma::precision::tf32,wmma::row_major>A;
  wmma::fragment<wmma::matrix_b,16,16,8,wmma::precision::tf32,wmma::col_major>B;
  wmma::fragment<wmma::accumulator,16,16,8,float>C;
  wmma::fill_fragment(C,0.f);
  wmma::load_matrix_sync(A,t,8);
  wmma::load_matrix_sync(B,t,8);
  wmma::mma_sync(C,A,B,C);
  wmma::store_matrix_sync(c,C,16,wmma::mem_row_major);
}
{
  wmma::fragment<wmma::matrix_a,8,8,128,wmma::experimental::precision::b1,wmma::row_major>A;
  wmma::fragment<wmma::matrix_b,8,8,128,wmma::experimental::precision::b1,wmma::col_major>B;
  wmma::fragment<wmma::accumulator,8,8,128,int>C;
  wmma::fill_fragment(C,0);
  wmma::load_matrix_sync(A,(void*)e,128);
  wmma::load_matrix_sync(B,(void*)e,128);
  wmma::bmma_sync(C,A,B,C,wmma::experimental::bmmaBitOpAND);
  wmma::store_matrix_sync(e,C,8,wmma::mem_row_major);
}
}
K mem(float4*a,const float4*b,int n,const float*__restrict__ r){
  __shared__ float4 s[256];
  int i=threadIdx.x;
  a[i]=__ldg(b+i);
  a[i+1]=__ldcs(b+i+1);
  __stcs(a+i+2,b[3]);
  a[i+5]=__ldcv(b+7);
  asm volatile("prefetch.global.L2 [%0];"::"l"(b+n));
  asm volatile("prefetch.global.L1 [%0];"::"l"(b+n));
  asm volatile("discard.global.L2 [%0],128;"::"l"(a+n));
  asm volatile("cp.async.cg.shared.global [%0],[%1],16;"::"r"((unsigned)__cvta_generic_to_shared(s+i)),"l"(b+i));
  asm volatile("cp.async.commit_group;");
  asm volatile("cp.async.wait_group 1;");
  asm volatile("cp.async.wait_all;");
  __syncthreads();
  unsigned x,y,z,w;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];":"=r"(x),"=r"(y),"=r"(z),"=r"(w):"r"((unsigned)__cvta_generic_to_shared(s+i)));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1},[%2];":"=r"(x),"=r"(y):"r"((unsigned)__cvta_generic_to_shared(s+i)));
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0,%1;":"=r"(x):"r"(y));
  a[i+9].x=__uint_as_float(x+y+z+w);
  volatile float*v=(volatile float*)a;
  v[3]=v[4]+1;
  a[2]=s[(i*7)&255];
  asm volatile("ld.acquire.gpu.global.u32 %0,[%1];":"=r"(x):"l"(a));
  asm volatile("st.release.gpu.global.u32 [%0],%1;"::"l"(a),"r"(x));
  asm volatile("fence.acq_rel.gpu;");
  asm volatile("fence.sc.sys;");
}
K bar(float*a){
  __shared__ cuda::barrier<cuda::thread_scope_block> b;
  if(!threadIdx.x)init(&b,blockDim.x);
  __syncthreads();
  b.arrive_and_wait();
  a[threadIdx.x]=1;
  cg::this_grid();
  auto t=cg::tiled_partition<8>(cg::this_thread_block());
  a[1]=t.shfl_down(a[2],1);
  t.sync();
}
#if __CUDA_ARCH__>=900
K cl(float*a,const float*b){
  __shared__ float s[128];
  auto c=cg::this_cluster();
  s[threadIdx.x]=b[threadIdx.x];
  c.sync();
  float*p=c.map_shared_rank(s,1);
  a[threadIdx.x]=p[threadIdx.x];
  atomicAdd(p,1.f);
  c.sync();
  a[4]=c.block_rank()+c.num_blocks();
asm volatile("griddepcontrol.wait;");
asm volatile("griddepcontrol.launch_dependents;");
unsigned q;
asm volatile("{.reg .pred P; elect.sync _|P, 0xffffffff; selp.u32 %0,1,0,P;}":"=r"(q));
a[5]=q;
unsigned sa=(unsigned)__cvta_generic_to_shared(s);
asm volatile("stmatrix.sync.aligned.m8n8.x2.shared.b16 [%0],{%1,%2};"::"r"(sa),"r"(q),"r"(q));
asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0],[%1],%2,[%3];"
      ::"r"(sa),"l"(b),"r"(64),"r"(sa+256));
asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0],[%1],%2;"::"l"(a),"r"(sa),"r"(64));
asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0],[%1],%2;"::"l"(a),"r"(sa),"r"(64));
asm volatile("cp.async.bulk.commit_group;");
asm volatile("cp.async.bulk.wait_group.read 0;");
asm volatile("cp.async.bulk.prefetch.L2.global [%0],%1;"::"l"(b),"r"(64));
asm volatile("fence.proxy.async;");
asm volatile("fence.mbarrier_init.release.cluster;");
asm volatile("mbarrier.init.shared.b64 [%0],%1;"::"r"(sa),"r"(3));
asm volatile("mbarrier.arrive.expect_tx.shared.b64 _,[%0],%1;"::"r"(sa),"r"(64));
asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0],%1,[%2];"::"r"(sa),"r"(q),"r"(sa+64));
asm volatile("{.reg .pred P; mbarrier.try_wait.parity.shared.b64 P,[%1],%2; selp.u32 %0,1,0,P;}":"=r"(q):"r"(sa),"r"(0));
a[6]=q;
asm volatile("multimem.ld_reduce.global.add.f32 %0,[%1];":"=f"(a[7]):"l"(b));
asm volatile("multimem.red.global.add.f32 [%0],%1;"::"l"(a),"f"(1.f));
asm volatile("red.global.v2.f32.add [%0],{%1,%1};"::"l"(a),"f"(1.f));
}
#endif
#if __CUDA_ARCH__ >= 1000
K packed(unsigned long long* a, const unsigned long long* b) {
  unsigned long long x = b[threadIdx.x], y = b[1], z;
  asm volatile("add.rn.f32x2 %0, %1, %2;" : "=l"(z) : "l"(x), "l"(y));
  asm volatile("mul.rn.f32x2 %0, %1, %2;" : "=l"(y) : "l"(x), "l"(z));
  asm volatile("fma.rn.f32x2 %0, %1, %2, %3;" : "=l"(x) : "l"(x), "l"(y), "l"(z));
  a[threadIdx.x] = x;
}
#endif
