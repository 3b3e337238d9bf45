package pocketgan.onnxruntime

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtLoggingLevel
import ai.onnxruntime.OrtProvider
import ai.onnxruntime.OrtSession
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Files
import java.nio.file.Paths
import java.util.IdentityHashMap
import pocketgan.bundle.DType
import pocketgan.bundle.TensorSpec
import pocketgan.measure.Engine
import pocketgan.measure.LoadedModel
import pocketgan.measure.ModelRequest
import pocketgan.measure.RefusedException
import pocketgan.measure.Tensor
import pocketgan.schema.Placement
import pocketgan.schema.Provider

/** The providers that a Job may ask for; the runtime's own default is its CPU provider. */
private val PROVIDERS = mapOf(
    Provider.DEFAULT to OrtProvider.CPU,
    Provider.CPU to OrtProvider.CPU,
    Provider.XNNPACK to OrtProvider.XNNPACK,
    Provider.NNAPI to OrtProvider.NNAPI,
    Provider.QNN to OrtProvider.QNN,
)

/** Qualcomm's backend for its NPU, which the QNN provider opens; it is Qualcomm's, and no part of ONNX Runtime. */
private const val QNN_BACKEND = "QnnHtp"

/**
 * ONNX Runtime with a fixed number of threads, one operator after the other. What a provider does not take, the CPU
 * provider does.
 *
 * @property loadLibrary finds a native library of the app by its name, or throws UnsatisfiedLinkError.
 * @param providers what the library has.
 */
class OnnxRuntimeEngine internal constructor(
    private val loadLibrary: (String) -> Unit,
    providers: () -> Set<OrtProvider>,
) : Engine {
    constructor() : this(System::loadLibrary, OrtEnvironment::getAvailableProviders)

    private val environment by lazy {
        OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR, "pocketgan").apply {
            setTelemetry(false)
        }
    }
    private val available by lazy(providers)

    override val name = "onnxruntime"

    override val version: String get() = environment.version

    override fun start() {
        environment
    }

    override fun load(request: ModelRequest): LoadedModel = optionsFor(request).use { open(request, it) }

    override fun planned(request: ModelRequest, inputs: Map<String, Tensor>): Map<String, Long>? {
        val folder = Files.createTempDirectory("profile")
        try {
            val profile = optionsFor(request).use { options ->
                options.enableProfiling("${folder.resolve("nodes")}")
                open(request, options).use { model ->
                    model.run(inputs)
                    model.endProfile()
                }
            }
            return nodesByProvider(Paths.get(profile))
        } finally {
            folder.toFile().deleteRecursively()
        }
    }

    override fun onCpuAlone(request: ModelRequest): ModelRequest? =
        request.copy(provider = Provider.CPU).takeIf { PROVIDERS[request.provider] != OrtProvider.CPU }

    private fun open(request: ModelRequest, options: OrtSession.SessionOptions): OnnxRuntimeModel {
        val placement = Placement(
            requested = request.provider.name.lowercase(),
            registered = available.map { it.getName() },
        )
        val session = try {
            environment.createSession("${request.file}", options)
        } catch (problem: OrtException) {
            throw tooOld(problem, version, request.writtenFor) ?: problem
        }
        return OnnxRuntimeModel(environment, session, request.outputs, placement)
    }

    private fun optionsFor(request: ModelRequest): OrtSession.SessionOptions {
        val provider = PROVIDERS[request.provider]?.takeIf { it in available }
        if (provider == null) {
            val there = PROVIDERS.filter { it.key != Provider.DEFAULT && it.value in available }.keys
            throw RefusedException(
                "ONNX Runtime $version has no provider ${request.provider.name.lowercase()} here; it has " +
                    there.joinToString { it.name.lowercase() },
            )
        }
        if (provider == OrtProvider.QNN) mustHaveQualcommsBackend()
        val options = OrtSession.SessionOptions()
        options.setIntraOpNumThreads(request.threads)
        options.setInterOpNumThreads(1)
        options.setExecutionMode(OrtSession.SessionOptions.ExecutionMode.SEQUENTIAL)
        when (provider) {
            OrtProvider.XNNPACK -> {
                // It has threads of its own; the runtime's would spin on the cores that those need.
                options.addConfigEntry("session.intra_op.allow_spinning", "0")
                options.addXnnpack(mapOf("intra_op_num_threads" to "${request.threads}"))
            }
            OrtProvider.NNAPI -> options.addNnapi()
            OrtProvider.QNN -> options.addQnn(mapOf("backend_path" to "lib$QNN_BACKEND.so"))
            else -> Unit
        }
        return options
    }

    /** Where it is missing, the provider takes no node and says nothing: the CPU would be measured under its name. */
    private fun mustHaveQualcommsBackend() {
        try {
            loadLibrary(QNN_BACKEND)
        } catch (missing: UnsatisfiedLinkError) {
            throw RefusedException(
                "provider qnn needs Qualcomm's lib$QNN_BACKEND.so in the app, which cannot be loaded here: build the " +
                    "app with onnxruntime-android-qnn, for a phone with a Snapdragon",
                missing,
            )
        }
    }
}

private class OnnxRuntimeModel(
    private val environment: OrtEnvironment,
    private val session: OrtSession,
    private val outputs: List<TensorSpec>,
    override val placement: Placement,
) : LoadedModel {
    private val names = outputs.map { it.name }.toSet()

    /** The runtime's view of each tensor, which shares its memory. */
    private val views = IdentityHashMap<Tensor, OnnxTensor>()

    /** The last run's outputs, whose memory is the runtime's. */
    private var last: OrtSession.Result? = null

    override fun run(inputs: Map<String, Tensor>): List<Tensor> {
        last?.close()
        val result = session.run(inputs.mapValues { (_, tensor) -> views.getOrPut(tensor) { view(tensor) } }, names)
        last = result
        return outputs.map { spec -> tensor(result.get(spec.name).get() as OnnxTensor) }
    }

    /** End the profile that the session's options asked for; the path of its file. */
    fun endProfile(): String = session.endProfiling()

    override fun close() {
        last?.close()
        views.values.forEach { it.close() }
        session.close()
    }

    private fun view(tensor: Tensor): OnnxTensor {
        val type = when (tensor.dtype) {
            DType.FLOAT32 -> OnnxJavaType.FLOAT
            DType.FLOAT16 -> OnnxJavaType.FLOAT16
            DType.UINT8 -> OnnxJavaType.UINT8
            DType.INT32 -> OnnxJavaType.INT32
            DType.INT64 -> OnnxJavaType.INT64
        }
        return OnnxTensor.createTensor(environment, tensor.data, tensor.shape, type)
    }

    private fun tensor(value: OnnxTensor): Tensor {
        val type = when (value.info.type) {
            OnnxJavaType.FLOAT -> DType.FLOAT32
            OnnxJavaType.FLOAT16 -> DType.FLOAT16
            OnnxJavaType.UINT8 -> DType.UINT8
            OnnxJavaType.INT32 -> DType.INT32
            OnnxJavaType.INT64 -> DType.INT64
            else -> throw RefusedException("the model gives ${value.info.type}, which no contract has")
        }
        // A copy, which reading the output is.
        val data: ByteBuffer = value.byteBuffer.order(ByteOrder.nativeOrder())
        return Tensor(type, value.info.shape, data)
    }
}
