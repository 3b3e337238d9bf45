package pocketgan.measure

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest
import pocketgan.bundle.ColourSpace
import pocketgan.bundle.Component
import pocketgan.bundle.Concept
import pocketgan.bundle.ConceptForm
import pocketgan.bundle.DType
import pocketgan.bundle.Entry
import pocketgan.bundle.FileRecord
import pocketgan.bundle.GoldenSet
import pocketgan.bundle.GoldenTensor
import pocketgan.bundle.Layout
import pocketgan.bundle.Manifest
import pocketgan.bundle.Role
import pocketgan.bundle.TensorSpec
import pocketgan.bundle.patchOfWord
import pocketgan.json.MODEL_JSON
import pocketgan.schema.Job

/**
 * A bundle folder with one entry, whose components are models that each double four numbers, or the three colours of a
 * picture of one pixel. As a pack it draws besides, of one component: `ink` by a model of that name, which makes three of
 * each number, and `soft` by a patch that makes a model of that name of its four letters, which makes five.
 */
internal class TinyBundle(
    private val parent: File,
    val name: String = "tiny",
    components: List<String> = listOf("main"),
    repeat: Long = 1,
    isPicture: Boolean = false,
    isPack: Boolean = false,
) {
    val digest: String
    val folder: File get() = File(parent, digest)

    init {
        val input = if (isPicture) floatArrayOf(0.2f, 0.3f, 0.4f) else floatArrayOf(0f, 1f, 2f, 3f)
        val shape = if (isPicture) listOf<Long>(1, 3, 1, 1) else listOf<Long>(1, 4)
        val golden = mapOf(
            "golden/four/x.bin" to bytes(input),
            "golden/four/y.bin" to bytes(FloatArray(input.size) { 2 * input[it] }),
        )
        val drawn = if (!isPack) emptyMap() else mapOf(
            "golden/ink/inputs.sha256" to ByteArray(32),
            "golden/soft/inputs.sha256" to ByteArray(32),
            "golden/ink/y.bin" to bytes(FloatArray(input.size) { 3 * input[it] }),
            "golden/soft/y.bin" to bytes(FloatArray(input.size) { 5 * input[it] }),
            "models/fake-fp32/main/ink" to "ink".toByteArray(),
            "models/fake-fp32/main/soft.safetensors" to
                patchOfWord("soft", name.length, sha256(name.toByteArray()), sha256("soft".toByteArray())),
        )
        // A model's only content is the name that it runs by.
        val contents = golden + drawn + components.associate {
            "models/fake-fp32/$it/model" to (if (components.size == 1) name else it).toByteArray()
        }
        val records = contents.mapValues { (path, content) -> FileRecord(path, content.size.toLong(), sha256(content)) }
        val (x, y) = listOf("x", "y").map {
            if (isPicture) TensorSpec(it, shape, Layout.NCHW, DType.FLOAT32, listOf(0.0, 1.0), ColourSpace.RGB)
            else TensorSpec(it, shape, null, DType.FLOAT32, null, null)
        }
        val (goldenX, goldenY) = listOf("x", "y").map {
            GoldenTensor(it, DType.FLOAT32, shape, records.getValue("golden/four/$it.bin"))
        }
        val models = components.map {
            val files = records.filterKeys { path -> path.startsWith("models/fake-fp32/$it/") }.values.toList()
            Component(it, "$it/model", files, listOf(x), listOf(y), repeat)
        }
        val entry = Entry("fake-fp32", "fake", "fp32", "fake", "1", golden = "four", components = models)
        val manifest = Manifest(
            name = name,
            role = Role.STUDENT,
            trained = true,
            entries = listOf(entry),
            golden = listOf(GoldenSet("four", inputs = listOf(goldenX), outputs = listOf(goldenY))) +
                drawn.keys.mapNotNull { Regex("golden/(.*)/y.bin").matchEntire(it)?.groupValues?.get(1) }.map { set ->
                    val stated = GoldenTensor("sha256", DType.UINT8, listOf(32), records.getValue("golden/$set/inputs.sha256"))
                    val outputs = listOf(goldenY.copy(file = records.getValue("golden/$set/y.bin")))
                    GoldenSet(set, inputsOf = "four", inputs = listOf(stated), outputs = outputs)
                },
            concepts = if (!isPack) emptyList() else listOf(
                Concept("plain", "twice"),
                Concept("ink", "in ink", forms = listOf(form(ConceptForm.Way.MODEL, "ink", "ink"))),
                Concept("soft", "soft", forms = listOf(form(ConceptForm.Way.PATCH, "soft.safetensors", "soft"))),
            ),
            defaultConcept = "plain".takeIf { isPack },
        )
        val manifestBytes = MODEL_JSON.encodeToString(Manifest.serializer(), manifest).toByteArray()
        digest = sha256(manifestBytes)
        for ((path, content) in contents + ("manifest.json" to manifestBytes)) {
            File(folder, path).apply { parentFile.mkdirs() }.writeBytes(content)
        }
    }

    private fun form(way: ConceptForm.Way, file: String, golden: String) =
        ConceptForm("fake-fp32", way, "models/fake-fp32/main/$file", golden)

    /** What is asked of it, in two rounds of two frames. */
    fun job() = Job(bundle = digest, entry = "fake-fp32", iterations = 4, rounds = 2)

    private fun bytes(numbers: FloatArray): ByteArray {
        val buffer = ByteBuffer.allocate(4 * numbers.size).order(ByteOrder.LITTLE_ENDIAN)
        numbers.forEach { buffer.putFloat(it) }
        return buffer.array()
    }

    private fun sha256(bytes: ByteArray) =
        MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { String.format("%02x", it) }
}

/** A runtime that doubles its input in [frameNs] on a scripted clock, and loads a model in a thousand times as long. */
internal class FakeEngine(private val clock: ScriptedClock, private val frameNs: Long = 1_000_000) : Engine {
    /** Names of the models that ran, in order. */
    val ran = ArrayList<String>()

    /** What it does to the numbers that a model gives at its n-th run (from 1). */
    var factor: (model: String, run: Int) -> Float = { _, _ -> 2f }

    override val name = "fake"
    override val version = "7"

    override fun load(request: ModelRequest): LoadedModel {
        clock.passes(1000 * frameNs)
        return Model(String(request.file.toFile().readBytes()))
    }

    private inner class Model(private val name: String) : LoadedModel {
        override val placement = null
        private var runs = 0

        override fun run(inputs: Map<String, Tensor>): List<Tensor> {
            ran += name
            runs += 1
            clock.passes(frameNs)
            val input = inputs.getValue("x")
            val output = Tensor.zeros(DType.FLOAT32, input.shape)
            val times = factor(name, runs)
            for (at in 0 until input.size) output.data.putFloat(4 * at, input[at].toFloat() * times)
            return listOf(output)
        }

        override fun close() = Unit
    }
}
