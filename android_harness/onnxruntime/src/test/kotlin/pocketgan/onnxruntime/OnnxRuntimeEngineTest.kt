package pocketgan.onnxruntime

import ai.onnxruntime.OrtProvider
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.Rule
import org.junit.rules.TemporaryFolder
import pocketgan.bundle.DType
import pocketgan.bundle.TensorSpec
import pocketgan.measure.ModelRequest
import pocketgan.measure.RefusedException
import pocketgan.measure.Tensor
import pocketgan.schema.ComputeUnits
import pocketgan.schema.Provider

/** The real ONNX Runtime, of Maven Central; it has the CPU provider alone. */
class OnnxRuntimeEngineTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private val engine = OnnxRuntimeEngine()
    private val input = Tensor.zeros(DType.FLOAT32, longArrayOf(1, 2)).apply { data.putFloat(0, 3f) }

    private fun request(
        model: ByteArray = tinyModel(),
        provider: Provider = Provider.DEFAULT,
        writtenFor: String = "1.31.1",
    ): ModelRequest {
        val file = temporary.newFile().apply { writeBytes(model) }.toPath()
        val (x, y) = listOf("x", "y").map { TensorSpec(it, listOf(1, 2), null, DType.FLOAT32, null, null) }
        return ModelRequest(file, listOf(x), listOf(y), provider, 1, ComputeUnits.ALL, writtenFor)
    }

    private fun refused(request: ModelRequest) = assertFailsWith<RefusedException> { engine.load(request) }.message

    @Test
    fun `a model runs, and tells what was asked for and what there is`() {
        engine.load(request()).use { model ->
            assertEquals(-3.0, model.run(mapOf("x" to input)).single()[0])
            assertEquals("default", model.placement?.requested)
            assertEquals(listOf("CPUExecutionProvider"), model.placement?.registered)
        }
    }

    @Test
    fun `nodes are counted by the provider that ran them, in a run of its own`() {
        val counted = engine.planned(request(tinyModel(nodes = 5)), mapOf("x" to input))
        assertEquals(mapOf("CPUExecutionProvider" to 5L), counted)
    }

    @Test
    fun `the CPU alone is another load, unless it was asked for`() {
        assertEquals(Provider.CPU, engine.onCpuAlone(request(provider = Provider.NNAPI))?.provider)
        assertNull(engine.onCpuAlone(request(provider = Provider.CPU)))
        assertNull(engine.onCpuAlone(request()))
    }

    @Test
    fun `a file of a later ONNX is refused in one line that says which ONNX Runtime it needs`() {
        val version = engine.version
        val format = "engine too old for the file: ONNX Runtime $version reads ONNX IR 13 and older, this is IR 99; " +
            "it needs an app with ONNX Runtime 1.99.0 or newer"
        assertEquals(format, refused(request(tinyModel(irVersion = 99), writtenFor = "1.99.0")))
        val operators = refused(request(tinyModel(opset = 99), writtenFor = "1.20.0"))!!
        val pattern = Regex(
            "engine too old for the file: ONNX Runtime $version reads opset [0-9]+ of ai.onnx and older, this is " +
                "opset 99; it needs an app with a newer ONNX Runtime",
        )
        assertTrue(pattern.matches(operators), operators)
    }

    @Test
    fun `a provider that the library has not is named with those that it has`() {
        val line = "ONNX Runtime ${engine.version} has no provider qnn here; it has cpu"
        assertEquals(line, refused(request(provider = Provider.QNN)))
    }

    @Test
    fun `without Qualcomm's library QNN is refused, which would leave every node to the CPU in silence`() {
        val asked = ArrayList<String>()
        val withoutIt = OnnxRuntimeEngine(
            loadLibrary = { asked += it; throw UnsatisfiedLinkError("no $it") },
            providers = { setOf(OrtProvider.CPU, OrtProvider.QNN) },
        )
        val refusal = assertFailsWith<RefusedException> { withoutIt.load(request(provider = Provider.QNN)) }.message!!
        assertEquals(listOf("QnnHtp"), asked)
        assertTrue("provider qnn needs Qualcomm's libQnnHtp.so in the app" in refusal, refusal)
    }
}
