package pocketgan.executorch

import java.nio.ByteBuffer
import java.nio.file.Path
import java.nio.file.Paths
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue
import pocketgan.bundle.DType
import pocketgan.bundle.TensorSpec
import pocketgan.measure.ModelRequest
import pocketgan.measure.RefusedException
import pocketgan.measure.Tensor
import pocketgan.schema.ComputeUnits
import pocketgan.schema.Placement
import pocketgan.schema.Provider

class ExecuTorchEngineTest {
    private val runtime = FakeRuntime()
    private val engine = ExecuTorchEngine(runtime)

    private fun request(provider: Provider = Provider.DEFAULT, writtenFor: String = "1.4.1", inputs: Int = 1) =
        ModelRequest(
            Paths.get("model.pte"), List(inputs) { spec("x$it") }, listOf(spec("y")), provider, threads = 3,
            ComputeUnits.ALL, writtenFor,
        )

    private fun spec(name: String) = TensorSpec(name, listOf(1, 2), null, DType.FLOAT32, null, null)

    private fun refused(request: ModelRequest) = assertFailsWith<RefusedException> { engine.load(request) }.message

    @Test
    fun `a program is opened on the threads that were asked for, and prepared before its first frame`() {
        val model = engine.load(request())
        assertEquals(listOf("start", "open model.pte on 3 threads", "prepare"), runtime.did)
        assertEquals(Placement(requested = "default", registered = listOf("XnnpackBackend")), model.placement)
        model.close()
        assertEquals("close", runtime.did.last())
    }

    @Test
    fun `inputs go in by the contract's order, whatever the order of the map`() {
        val model = engine.load(request(inputs = 2))
        val (a, b) = floats(1f, 2f) to floats(3f, 4f)
        model.run(mapOf("x1" to b, "x0" to a))
        assertEquals(listOf(a, b), runtime.given)
    }

    @Test
    fun `outputs are copied while the program's memory holds them`() {
        val model = engine.load(request())
        val first = model.run(mapOf("x0" to floats(1f, 2f))).single()
        runtime.memory.putFloat(0, 99f)
        assertEquals(listOf(2.0, 4.0), List(first.size) { first[it] })
        assertContentEquals(longArrayOf(1, 2), first.shape)
        // The next run's outputs lie in the same place.
        assertTrue(model.run(mapOf("x0" to floats(5f, 6f))).single() === first)
        assertEquals(listOf(10.0, 12.0), List(first.size) { first[it] })
    }

    @Test
    fun `an output of another type is taken as it is`() {
        runtime.gives = DType.UINT8
        val output = engine.load(request()).run(mapOf("x0" to floats(1f, 2f))).single()
        assertEquals(DType.UINT8, output.dtype)
        assertEquals(listOf(2.0, 4.0), List(output.size) { output[it] })
    }

    @Test
    fun `a backend that the library has not is named before the program is prepared`() {
        runtime.called = listOf("QnnBackend")
        val line = "the file calls QnnBackend, which the ExecuTorch of this app does not have; it has XnnpackBackend: " +
            "build the app with one that has it, or export another target"
        assertEquals(line, refused(request()))
        assertEquals("close", runtime.did.last())
        assertTrue("prepare" !in runtime.did)
    }

    @Test
    fun `a provider that the file does not call is refused`() {
        val line = "provider vulkan was asked for, and the file calls XnnpackBackend, as it was exported"
        assertEquals(line, refused(request(Provider.VULKAN)))
        assertEquals("ExecuTorch has no provider nnapi", refused(request(Provider.NNAPI)))
        runtime.called = emptyList()
        assertEquals(
            "provider xnnpack was asked for, and the file calls no backend, as it was exported",
            refused(request(Provider.XNNPACK)),
        )
        engine.load(request(Provider.CPU)).close()
    }

    @Test
    fun `XNNPACK computes on the CPU`() {
        assertEquals("cpu", engine.load(request(Provider.CPU)).placement?.requested)
        runtime.has = listOf("XnnpackBackend", "VulkanBackend")
        runtime.called = listOf("XnnpackBackend", "VulkanBackend")
        val vulkan = ExecuTorchEngine(runtime)
        assertEquals("vulkan", vulkan.load(request(Provider.VULKAN)).placement?.requested)
        assertFailsWith<RefusedException> { vulkan.load(request(Provider.CPU)) }
    }

    @Test
    fun `a file of a later release than was seen to run is refused before the library sees it`() {
        val line = "engine too old for the file: ExecuTorch 1.3 reads files of 1.4 and older, this is one of 1.5.0; " +
            "it needs an app with ExecuTorch 1.5 or newer"
        assertEquals(line, refused(request(writtenFor = "1.5.0")))
        assertEquals(emptyList(), runtime.did)
        for (older in listOf("1.4.1", "1.3.0", "0.7.0", "unknown")) engine.load(request(writtenFor = older)).close()
    }

    @Test
    fun `what ExecuTorch throws closes the program and is thrown on`() {
        runtime.fails = IllegalStateException("out of tiles")
        assertFailsWith<IllegalStateException> { engine.load(request()) }
        assertEquals("close", runtime.did.last())
    }

    @Test
    fun `where Android's libraries are missing, one line says so`() {
        // The real classes, whose library is Android's.
        val here = ExecuTorchEngine()
        val message = assertFailsWith<RefusedException> { here.start() }.message!!
        assertTrue(message.startsWith("the libraries of ExecuTorch cannot be loaded here: "), message)
        assertEquals(message.lines().size, 1)
    }

    @Test
    fun `the CPU alone is no other load of the same file`() {
        assertNull(engine.onCpuAlone(request(Provider.VULKAN)))
    }

    private fun floats(vararg numbers: Float) = Tensor.zeros(DType.FLOAT32, longArrayOf(1, numbers.size.toLong())).apply {
        numbers.forEachIndexed { at, number -> data.putFloat(4 * at, number) }
    }
}

/** Doubles its input into memory of its own. */
private class FakeRuntime : ProgramRuntime {
    val did = ArrayList<String>()
    var has = listOf("XnnpackBackend")
    var called = listOf("XnnpackBackend")
    var gives = DType.FLOAT32
    var fails: Exception? = null
    var given: List<Tensor> = emptyList()
    val memory: ByteBuffer = Tensor.zeros(DType.FLOAT32, longArrayOf(2)).data

    override fun start() {
        did += "start"
    }

    override fun registeredBackends() = has

    override fun open(file: Path, threads: Int): Program {
        did += "open $file on $threads threads"
        return object : Program {
            override fun backends() = called

            override fun prepare() {
                did += "prepare"
                fails?.let { throw it }
            }

            override fun forward(inputs: List<Tensor>): List<ProgramOutput> {
                given = inputs
                for (at in 0 until 2) put(at, 2 * inputs[0][at].toFloat())
                val size = 2 * gives.bytes
                return listOf(
                    ProgramOutput(gives, longArrayOf(1, 2)) { to ->
                        to.put(memory.duplicate().apply { limit(size) })
                    },
                )
            }

            override fun close() {
                did += "close"
            }
        }
    }

    private fun put(at: Int, number: Float) {
        if (gives == DType.UINT8) memory.put(at, number.toInt().toByte()) else memory.putFloat(4 * at, number)
    }
}
