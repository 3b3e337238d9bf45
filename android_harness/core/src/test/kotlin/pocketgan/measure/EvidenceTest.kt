package pocketgan.measure

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull
import org.junit.Rule
import org.junit.rules.TemporaryFolder
import pocketgan.bundle.openSessionBundle
import pocketgan.schema.Placement
import pocketgan.schema.Provider

private const val MS = 1_000_000L

class EvidenceTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private val clock = ScriptedClock()
    private val fake = FakeEngine(clock)

    /** Nodes that it tells of, or what it throws. */
    private var planned: () -> Map<String, Long>? = { mapOf("NnapiExecutionProvider" to 60L, "CPUExecutionProvider" to 2L) }

    /** How much longer than a frame of the provider the CPU takes for each frame, one after the other. */
    private var cpuExtra = generateSequence(0L) { 0L }

    /** NNAPI in a millisecond, the CPU in as many more as [cpuExtra] says. */
    private val engine = object : Engine by fake {
        override fun load(request: ModelRequest): LoadedModel {
            val model = fake.load(request)
            val extra = if (request.provider == Provider.CPU) cpuExtra.iterator() else null
            return object : LoadedModel by model {
                override fun run(inputs: Map<String, Tensor>): List<Tensor> {
                    extra?.let { clock.passes(it.next()) }
                    return model.run(inputs)
                }
            }
        }

        override fun planned(request: ModelRequest, inputs: Map<String, Tensor>): Map<String, Long>? = planned()

        override fun onCpuAlone(request: ModelRequest) =
            request.copy(provider = Provider.CPU).takeIf { request.provider != Provider.CPU }
    }

    private fun found(provider: Provider = Provider.NNAPI): Placement? {
        val bundle = TinyBundle(temporary.root)
        val opened = openSessionBundle(bundle.folder.toPath(), bundle.digest)
        val job = bundle.job().copy(provider = provider)
        val plan = planModel(opened, opened.entry(job.entry), job)
        val told = Placement(requested = provider.name.lowercase(), registered = listOf("cpu", "nnapi"))
        return evidence(told, engine, ModelRequest(plan, job), plan, clock) {}
    }

    @Test
    fun `nodes of each provider stand beside what was asked for`() {
        val nodes = mapOf("NnapiExecutionProvider" to 60L, "CPUExecutionProvider" to 2L)
        val placement = found()!!
        assertEquals(nodes, placement.planned)
        assertEquals("nnapi", placement.requested)
        assertEquals(listOf("cpu", "nnapi"), placement.registered)
    }

    @Test
    fun `the CPU's time is the median of five frames after a first one`() {
        cpuExtra = sequenceOf(100, 4, 1, 9, 2, 3).map { it * MS }
        assertEquals(4 * MS, found()?.cpuNs)
    }

    @Test
    fun `where the CPU was asked for, nothing is timed beside it`() {
        assertNull(found(Provider.CPU)?.cpuNs)
        assertEquals(emptyList(), fake.ran)
    }

    @Test
    fun `evidence that cannot be had is null, and the rest stands`() {
        planned = { throw IllegalStateException("no profile") }
        assertNull(found()?.planned)
        assertEquals(MS, found()?.cpuNs)
        planned = { throw UnsatisfiedLinkError("no profile") }
        assertNull(found()?.planned)
    }
}
