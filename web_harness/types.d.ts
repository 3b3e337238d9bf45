/** What pages and host say to each other: bench/schema/*.schema.json, as far as the page reads and writes it. */

export type Provider = 'wasm' | 'webgpu';

export interface Warmup { iterations: number; window: number; tolerance: number; timeout_s: number }

export interface Job {
  schema_version: string;
  bundle: string;
  entry: string;
  component: string | null;
  concept?: string | null;
  mode: string;
  via: string;
  provider: string;
  clock: string;
  warmup: Warmup;
  iterations: number | null;
  duration_s: number | null;
  rounds: number;
  run: number;
  threads: number;
  cold_repeats: number;
  cool_down: object | null;
}

export interface Session { name: string; beat_interval_s: number; groups: { jobs: Job[] }[] }

export type DType = 'float32' | 'float16' | 'uint8' | 'int32' | 'int64';

export interface TensorSpec {
  name: string;
  shape: number[];
  layout: 'NCHW' | 'NHWC' | null;
  dtype: DType;
  value_range: [number, number] | null;
  colour_space: 'RGB' | null;
}

export interface FileRecord { path: string; bytes: number; sha256: string }

export interface Component {
  name: string;
  entry_point: string;
  files: FileRecord[];
  inputs: TensorSpec[];
  outputs: TensorSpec[];
  repeat?: number;
}

export interface GoldenTensor { name: string; dtype: DType; shape: number[]; file: FileRecord }

export interface Entry {
  id: string;
  target: string;
  precision: string;
  runtime: string;
  golden: string;
  delegation?: object | null;
  parity?: { psnr_db: number | null; floor_db: number } | null;
  components: Component[];
}

/** Outputs, and the inputs that they come of, which another set may hold (`inputs_of`). */
export interface GoldenSet { id: string; inputs_of?: string | null; inputs: GoldenTensor[]; outputs: GoldenTensor[] }

export interface ConceptForm {
  entry: string;
  way: 'model' | 'patch' | 'function';
  name: string;
  golden: string;
  parity?: Entry['parity'];
}

export interface Manifest {
  name: string;
  role: string;
  entries: Entry[];
  golden: GoldenSet[];
  concepts?: { name: string; text: string; forms?: ConceptForm[] }[];
  default_concept?: string | null;
}

/** An entry as it draws one concept of a pack: its components, golden set and parity are the concept's. */
export interface Drawn {
  entry: Entry;
  concept: string | null;
  patch: string | null;
  function: string | null;
  components: Component[];
  golden: GoldenSet | null;
}

export type Numbers = Float32Array | Uint16Array | Uint8Array | Int32Array | BigInt64Array;

/** A tensor in memory; float16 as its 16 bits. */
export interface Tensor { dtype: DType; shape: number[]; data: Numbers }

export interface TensorPlan { spec: TensorSpec; golden: Tensor }

/** A model to run. `external`: the files beside the model that it names, by those names. */
export interface ModelPlan {
  path: string;
  model: Uint8Array;
  external: { path: string; data: Uint8Array }[];
  inputs: TensorPlan[];
  outputs: TensorPlan[];
  floorDb: number;
  repeat: number;
}

/** A model that the runtime holds. `run` returns once the outputs can be read, in the contract's order. */
export interface LoadedModel {
  run(inputs: Map<string, Tensor>): Promise<Tensor[]>;
  release(): Promise<void>;
}

export interface Engine {
  version: string;
  load(plan: ModelPlan): Promise<LoadedModel>;
}

export interface Frame { start_ns: number; pre_ns: number; inference_ns: number; post_ns: number; round: number }

export interface Parity { psnr_db: number | null; max_abs_error: number }

export interface WarmedUp { iterations: number; duration_ns: number; steady: boolean }

/** State of the device at one moment, without its stamp. */
export interface State { battery_percent?: number; charging?: boolean; visible: boolean }

/** What of a Result the page knows and the worker does not. */
export interface Circumstances {
  session: string;
  process: string;
  device: object;
  page: { browser: string; isolated: boolean; gpu: string | null; begun_again: number };
  providers: Provider[];
}

export type Result = Record<string, unknown> & { job: Job; errors: string[]; frames: Frame[]; bundle_name: string };

/** A Job with its bundle: `files` by their paths in the bundle. */
export interface Work { job: Job; manifest: Manifest; files: Record<string, Blob> }

/** What the page says of where it is (bench/devices/web/facts.py). */
export interface About {
  id: string;
  model: string;
  os: string;
  browser: string;
  cpu: string;
  cores: number;
  memory_bytes: number;
  isolated: boolean;
  most_threads: number;
  providers: Provider[];
  gpu: string | null;
  simulated_gpu: boolean;
}

/** What the host wants. */
export interface Order {
  state: 'wait' | 'measure' | 'stop' | 'over';
  run: string;
  have: number;
  words?: string;
  session?: Session;
  files?: Record<string, { sha256: string; bytes: number }>;
}

export interface Joined extends Order {
  name: string;
  runtime: { version: string; files: Record<Provider, [string, string, string]> };
  /** Frames, and states of the device, that the host takes of one Job. */
  most_samples: number;
}

/** Addresses of onnxruntime-web: its library, its loader, its WebAssembly. */
export interface RuntimeUrls { library: string; loader: string; wasm: string }

export type ToWorker =
  | {
    kind: 'measure'; provider: Provider; threads: number; urls: RuntimeUrls; work: Work[]; about: Circumstances;
    mostSamples: number;
  }
  | { kind: 'state'; state: State }
  | { kind: 'live'; provider: Provider; threads: number; urls: RuntimeUrls; work: Work }
  | { kind: 'picture'; pixels: Uint8ClampedArray<ArrayBuffer> };

export type FromWorker =
  | { kind: 'begun'; held: boolean }
  | { kind: 'look' }
  | { kind: 'progress'; number: number; detail: string; done: number; step: string }
  | { kind: 'results'; results: Result[] }
  | { kind: 'ready'; input: Size; output: Size }
  | { kind: 'drawn'; pixels: Uint8ClampedArray<ArrayBuffer> }
  | { kind: 'failed'; message: string };

/** Of a picture, in pixels. */
export interface Size { width: number; height: number }
