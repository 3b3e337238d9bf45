package pocketgan.measure

import java.io.Closeable
import java.nio.FloatBuffer
import pocketgan.bundle.DType
import pocketgan.schema.Frame
import pocketgan.schema.MeasuredParity
import pocketgan.schema.Placement

/** A loaded model with what its frames need: [frame] is one edit, from picture to picture. */
internal class TimedModel(val plan: ModelPlan, private val model: LoadedModel, private val clock: NanoClock) :
    Closeable {
    private val golden: Map<String, Tensor> = plan.inputs.associate { it.spec.name to it.golden.cast(it.spec.dtype) }
    private val inputs: MutableMap<String, Tensor> = LinkedHashMap(golden)
    private val pictureInput = plan.inputs.firstOrNull { needsConversion(it.spec) }
    private val pictureOutput = plan.outputs.indexOfFirst { needsConversion(it.spec) }
    private val toTensor = pictureInput?.let { PictureConverter(it.spec) }
    private val toPicture = plan.outputs.getOrNull(pictureOutput)?.let { PictureConverter(it.spec) }
    private val pictureIn = toTensor?.let { converter ->
        val golden = floats(inputs.getValue(pictureInput!!.spec.name))
        ByteArray(converter.pictureBytes).also { converter.toPicture(golden, it) }
    }
    private val pictureOut = toPicture?.let { ByteArray(it.pictureBytes) }

    /** A golden input may be one that other models share, so frames write to a tensor of their own. */
    private val tensorIn: Tensor? = pictureInput?.let { newInput() }

    /** Of the last run. */
    var outputs: List<Tensor> = emptyList()
        private set

    val placement: Placement? get() = model.placement

    /** One run on what the inputs hold: before the first [frame], the golden ones. */
    fun run() {
        outputs = model.run(inputs)
    }

    /**
     * How well the output of the last run agrees with the golden one.
     *
     * @throws WrongOutputException it cannot even be compared.
     */
    fun parity(): MeasuredParity =
        agreement(outputs, plan.outputs.map { it.golden }, plan.outputs.map { it.spec.valueRange })

    /** One edit: picture to tensor, inference, tensor to picture. */
    fun frame(round: Int): Frame {
        val started = clock.now()
        val before = if (tensorIn != null) clockAfter { fill(tensorIn) } else started
        infer(tensorIn)
        val after = clock.now()
        val ended = if (pictureOut != null) clockAfter { toPicture(floats(outputs[pictureOutput])) } else after
        return Frame(started, before - started, after - before, ended - after, round.toLong())
    }

    /** One edit of the golden input, whatever pictures came before. */
    fun goldenFrame(): Frame {
        inputs.putAll(golden)
        return frame(0)
    }

    /** A tensor for the picture input, null where the model takes none. */
    fun newInput(): Tensor? = pictureInput?.let { Tensor.zeros(it.spec.dtype, it.golden.shape) }

    /** The picture becomes the tensor. */
    fun fill(tensor: Tensor) = toTensor!!.toTensor(pictureIn!!, floats(tensor))

    /** The model runs as often as an edit needs, on that picture input. */
    fun infer(tensor: Tensor?) {
        if (tensor != null) infer(pictureInput!!.spec.name, tensor) else infer()
    }

    /** The model runs as often as an edit needs, on [tensor] as its input [name]. */
    fun infer(name: String, tensor: Tensor) {
        inputs[name] = tensor
        infer()
    }

    private fun infer() {
        repeat(plan.repeat) { outputs = model.run(inputs) }
    }

    /** A copy of the output that is a picture, null where there is none. */
    fun copyOfPictureOutput(): FloatBuffer? {
        if (pictureOut == null) return null
        val from = floats(outputs[pictureOutput])
        return FloatBuffer.allocate(outputs[pictureOutput].size).also { it.duplicate().put(from) }
    }

    /** The output becomes a picture. */
    fun toPicture(output: FloatBuffer) = toPicture!!.toPicture(output, pictureOut!!)

    override fun close() = model.close()

    private inline fun clockAfter(work: () -> Unit): Long {
        work()
        return clock.now()
    }

    private fun floats(tensor: Tensor): FloatBuffer {
        check(tensor.dtype == DType.FLOAT32) { "the model gives ${tensor.dtype} where its contract says float32" }
        return tensor.data.asFloatBuffer()
    }
}
