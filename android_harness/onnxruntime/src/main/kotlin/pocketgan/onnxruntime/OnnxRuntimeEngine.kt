package pocketgan.onnxruntime

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtLoggingLevel
import ai.onnxruntime.OrtProvider
import ai.onnxruntime.OrtSession
import java.nio.ByteBuffer
import java.nio.ByteOrder
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
)

/**
 * ONNX Runtime with a fixed number of threads, one operator after the other. What a provider does not take, the CPU
 * provider does.
 */
class OnnxRuntimeEngine : Engine {
    private val environment = OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR, "pocketgan")
    private val available = OrtEnvironment.getAvailableProviders()

    override val name = "onnxruntime"

    override val version: String get() = environment.version

    override fun load(request: ModelRequest): LoadedModel {
        val placement = Placement(
            requested = request.provider.name.lowercase(),
            registered = available.map { it.getName() },
        )
        val session = optionsFor(request).use { environment.createSession("${request.file}", it) }
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
            else -> Unit
        }
        return options
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
